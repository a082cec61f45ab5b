"""From the table of runs, and the sums they left, to the comparison of the arms in every panel."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import PANEL, as_floats, group_ids
from pipeline.comparison import bootstrap
from pipeline.comparison.arms import Arms, Pair, fronts_of, pairs
from pipeline.comparison.declared import lost, unfinished
from pipeline.comparison.documents import read_documents
from pipeline.comparison.measure import Measured, measure_pair
from pipeline.comparison.panel import Panel
from pipeline.comparison.refusal import refusals
from pipeline.comparison.shrinkage import Shrinkage, shrinkage

COULD_NOT = "could not be compared"
AS_TRAINED = "as trained"
"""The scenario in which no run is pruned."""


@dataclass(frozen=True)
class Compared:
    """A panel, and all that was measured in it."""

    panel: Panel
    arms: Arms
    measured: list[Measured] = field(default_factory=list)
    shrinkages: list[Shrinkage] = field(default_factory=list)
    lost: list[tuple[Pair, str]] = field(default_factory=list)  # declared, and why nothing is measured
    unfinished: Mapping[tuple[str, int], str] = field(default_factory=dict)  # by architecture and width: in words
    lines: list[str] = field(default_factory=list)  # what is not compared, and why
    fault: str = ""  # of this program: the traceback
    scenario: str = AS_TRAINED  # or how the runs were pruned

    @property
    def pairs(self) -> list[Pair]:
        """Those that were measured."""
        return list(dict.fromkeys(measured.pair for measured in self.measured))

    def with_fault(self, what: str, error: Exception) -> "Compared":
        """With a line that says what a fault of this program has kept from being done."""
        line = f"{what}, by a fault of this program ({type(error).__name__}: {error})"
        fault = self.fault + "".join(traceback.format_exception(error))
        return replace(self, lines=[*self.lines, line], fault=fault)


def panels(
    runs: pd.DataFrame, sweeps_dir: Path | None, replicates: int, arms: Arms | None = None
) -> Iterator[Compared]:
    """Every panel that has a declared run, compared as far as runs are finished; one that fails takes no other with it.

    Where no run at all is finished there is none.

    Args:
        runs: as `pipeline.analysis.table.read_sweep` gives them.
        sweeps_dir: where the runs' sequences are; None for points without any.
        replicates: draws of documents; 0 for no intervals.
        arms: the reference and its candidates; by default every arm with the baseline.
    """
    asked = arms or Arms()
    none = "a table of points has none" if sweeps_dir is None else "replicates=0 asks for none"
    begun = runs["status"].eq("done").any()
    for _, declared in runs.groupby(group_ids(runs, list(PANEL))) if begun else ():
        done = declared["status"].eq("done") & np.isfinite(as_floats(declared["l0"]))
        table = declared[done].reset_index(drop=True)
        bare = Panel({name: declared[name].iloc[0] for name in PANEL}, table, None, {}, np.ones((1, 1)), none)
        compared = Compared(bare, asked, unfinished=unfinished(declared))
        try:
            compared = replace(compared, panel=_with_sums(bare, sweeps_dir, replicates))
            compare(compared)
        except Exception as error:  # a fault of ours, in this panel: the others have their results
            compared = replace(compared, panel=bare, measured=[], shrinkages=[]).with_fault(COULD_NOT, error)
        compared.lost.extend(lost(declared, compared.pairs, asked, compared.fault and COULD_NOT))
        yield compared


def _with_sums(panel: Panel, sweeps_dir: Path | None, replicates: int) -> Panel:
    """With what the runs left for every document, its draws, and what is refused by them."""
    if sweeps_dir is not None and replicates and len(panel.runs):
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
        finished = ", ".join(there) or "nothing"
        yield f"no finished {arms.reference} run to compare with (reference=ARM names another): {finished} finished"
    elif not any(map(arms.is_candidate, there)):
        wanted = "other" if arms.candidates is None else " or ".join(arms.candidates)
        yield f"no finished {wanted} run to compare with {arms.reference}"
    elif arms.candidates is not None:
        yield from (f"no finished {name} run to compare" for name in arms.candidates if name not in there)
