"""From the table of runs, and the sums they left, to the comparison of the arms in every panel."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import PANEL, as_floats, numbered
from pipeline.comparison import bootstrap
from pipeline.comparison.arms import Arms, fronts_of, pairs
from pipeline.comparison.documents import read_documents
from pipeline.comparison.measure import Measured, measure_pair
from pipeline.comparison.panel import Panel
from pipeline.comparison.refusal import refusals
from pipeline.comparison.shrinkage import Shrinkage, shrinkage


@dataclass(frozen=True)
class Compared:
    """A panel, and all that was measured in it."""

    panel: Panel
    arms: Arms
    measured: list[Measured] = field(default_factory=list)
    shrinkages: list[Shrinkage] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # what is not compared, and why
    fault: str = ""  # of this program: the traceback
    scenario: str = "as trained"  # or how the runs were pruned

    def with_fault(self, what: str, error: Exception) -> "Compared":
        """With a line that says what a fault of this program has kept from being done."""
        line = f"{what}, by a fault of this program ({type(error).__name__}: {error})"
        fault = self.fault + "".join(traceback.format_exception(error))
        return replace(self, lines=[*self.lines, line], fault=fault)


def panels(
    runs: pd.DataFrame, sweeps_dir: Path | None, replicates: int, arms: Arms | None = None
) -> Iterator[Compared]:
    """Every panel with a finished run, compared; one that fails takes no other with it.

    Args:
        runs: as `pipeline.analysis.table.read_sweep` gives them.
        sweeps_dir: where the runs' sequences are; None for points without any.
        replicates: draws of documents; 0 for no intervals.
        arms: the reference and its candidates; by default every arm with the baseline.
    """
    done = runs[(runs["status"] == "done") & np.isfinite(as_floats(runs["l0"]))]
    for _, rows in done.groupby(numbered(done, list(PANEL))):
        table = rows.reset_index(drop=True)
        bare = Panel({name: table[name].iloc[0] for name in PANEL}, table, None, {}, np.ones((1, 1)))
        try:
            compared = Compared(_with_sums(bare, sweeps_dir, replicates), arms or Arms())
            compare(compared)
        except Exception as error:  # a fault of ours, in this panel: the others have their results
            compared = Compared(bare, arms or Arms()).with_fault("could not be compared", error)
        yield compared


def _with_sums(panel: Panel, sweeps_dir: Path | None, replicates: int) -> Panel:
    """With what the runs left for every document, its draws, and what is refused by them."""
    if sweeps_dir is not None and replicates:
        sums, reasons = read_documents(sweeps_dir, panel.runs)
        drawn = panel.drawn if sums is None else bootstrap.weights(len(sums.predictions), replicates)
        panel = replace(panel, sums=sums, reasons=reasons, drawn=drawn)
    return replace(panel, refused=refusals(panel))


def compare(compared: Compared) -> None:
    """Fill in what is measured between the arms of a panel, and a line for each pair that is not."""
    panel, arms = compared.panel, compared.arms
    found = fronts_of(panel.runs)
    compared.lines.extend(panel.refused.values())
    compared.lines.extend(_lacking(sorted({front.architecture for front in found}), arms))
    for pair in pairs(found, arms):
        if not pair.names:
            widths = " and ".join(f"{front.architecture} ({front.d_sae} wide)" for front in pair.fronts)
            compared.lines.append(f"{widths} match neither in width nor in training cost, so they are not compared")
            continue
        compared.measured.extend(measure_pair(panel, pair))
        compared.shrinkages.append(shrinkage(panel, pair))


def _lacking(there: Sequence[str], arms: Arms) -> Iterator[str]:
    """Arms without a finished run."""
    if arms.reference not in there:
        yield f"no finished {arms.reference} run to compare with: {', '.join(there) or 'nothing'} finished"
    elif not any(map(arms.is_candidate, there)):
        wanted = "other" if arms.candidates is None else " or ".join(arms.candidates)
        yield f"no finished {wanted} run to compare with {arms.reference}"
    elif arms.candidates is not None:
        yield from (f"no finished {name} run to compare" for name in arms.candidates if name not in there)
