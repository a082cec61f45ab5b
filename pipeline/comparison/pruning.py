"""Does pruning close the gap? The comparison again, with small activations set to zero at inference: the paper's check.

An arm that is pruned may use each of its runs as it is or at any of its thresholds: its front is taken over all of
them. That choice is made on the text that judges it, again in every resample.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import PANEL
from pipeline.analysis.table import PRUNE_BELOW
from pipeline.comparison.along import RATIO
from pipeline.comparison.arms import Front, Pair, fronts_of
from pipeline.comparison.compare import AS_TRAINED, Compared
from pipeline.comparison.documents import read_documents
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.measure import Measured, measure, measure_pair
from pipeline.comparison.panel import LOSS_RECOVERED, Panel
from pipeline.comparison.tables import l0_ratios

REFERENCE_PRUNED, BOTH_PRUNED = "reference pruned", "both pruned"
SCENARIOS = (AS_TRAINED, REFERENCE_PRUNED, BOTH_PRUNED)
SAME_ARM = "same_arm"
METHOD = """\
Activations below a threshold were set to zero at inference too. A pruned arm's front uses each run unpruned and at
every threshold. The front is chosen on the same text that it is judged on, which favours the pruned arm. Two things
work against it. At its densest point its front meets the front as trained, so a pruned reference is rarely better
everywhere. And a pruned point that is only slightly better than its neighbours may pull the line between them down.
Ratios are read over the range that both fronts reach as trained. Shrinkage is judged only as trained, because pruning
itself shrinks reconstructions. The share of features alive is counted after pruning, over that front's points: it is
not comparable with the share as trained."""


@dataclass(frozen=True)
class Alone:
    """One arm against itself pruned, in one panel."""

    panel: Panel
    measured: Measured


@dataclass(frozen=True)
class BothWays:
    """Everything again, pruned."""

    scenarios: list[Compared]  # named as SCENARIOS but for the first
    alone: list[Alone]  # what pruning saves an arm, along all of its front


def compare_pruned(one: Compared, pruned: pd.DataFrame, sweeps_dir: Path | None) -> BothWays:
    """Every pair of fronts of a panel again, with one and with both of them pruned, and each with itself.

    Args:
        pruned: as `pipeline.analysis.table.read_pruned` gives them; where the panel has no such rows, there is nothing.
        sweeps_dir: where the runs' sequences are.
    """
    panel = one.panel
    rows = pruned[pruned["run"].isin(panel.runs["run"]) & (pruned["evaluation.id"] == panel.key["evaluation.id"])]
    if rows.empty:
        return BothWays([], [])
    again = _Again(one, _with_pruned(panel, rows, sweeps_dir))
    return BothWays(list(again.scenarios()), list(again.alone()))


def _with_pruned(panel: Panel, rows: pd.DataFrame, sweeps_dir: Path | None) -> Panel:
    """The panel with its pruned runs as further runs, after its own, whose numbers stay."""
    as_they_are = panel.runs.assign(**{PRUNE_BELOW: 0.0, "place": np.nan})
    table = pd.concat([as_they_are, rows.astype({PRUNE_BELOW: float, "place": float})], ignore_index=True)
    sums, reasons = (None, panel.reasons)
    if panel.sums is not None and sweeps_dir is not None:
        sums, reasons = read_documents(sweeps_dir, table)
    return replace(panel, runs=table, sums=sums, reasons=reasons)


@dataclass(frozen=True)
class _Again:
    """One panel, and the same with its pruned runs."""

    first: Compared
    wider: Panel

    def _fronts(self) -> dict[tuple[str, int], Front]:
        """Pruned fronts of the arms that have pruned runs; the first panel's are a part of theirs."""
        before = {(front.architecture, front.d_sae): front for front in fronts_of(self.first.panel.runs)}
        found = {(front.architecture, front.d_sae): front for front in fronts_of(self.wider.runs)}
        return {arm: front for arm, front in found.items() if arm in before and len(front.runs) > len(before[arm].runs)}

    def scenarios(self) -> Iterator[Compared]:
        fronts = self._fronts()
        for name in SCENARIOS[1:]:
            again = Compared(self.wider, self.first.arms, unfinished=self.first.unfinished, scenario=name)
            for pair in self.first.pairs:
                reference, candidate = (fronts.get((front.architecture, front.d_sae)) for front in pair.fronts)
                if reference is None or (name == BOTH_PRUNED and candidate is None):
                    continue
                other = candidate if name == BOTH_PRUNED and candidate is not None else pair.candidate
                changed = Pair(reference, other, pair.names)
                again.measured.extend(measure_pair(self.wider, changed, self._within(pair)))
            if again.measured:
                yield again

    def _within(self, pair: Pair) -> dict[str, tuple[float, float]]:
        """By ablation the interval of the ratio as trained."""
        return {
            measured.ablation: (measured.estimate.low, measured.estimate.high)
            for measured in self.first.measured
            if measured.pair is pair and measured.kind == RATIO and measured.estimate is not None
        }

    def alone(self) -> Iterator[Alone]:
        before = {(front.architecture, front.d_sae): front for front in fronts_of(self.first.panel.runs)}
        compared = {(f.architecture, f.d_sae) for pair in self.first.pairs for f in pair.fronts}
        for arm, front in self._fronts().items():
            if arm in compared:
                pair = Pair(before[arm], front, (SAME_ARM,))
                for ablation in LOSS_RECOVERED:
                    yield Alone(self.wider, measure(self.wider, pair, RATIO, ablation))


def table(first: Iterable[Compared], again: BothWays) -> pd.DataFrame:
    """pruning.csv: as l0_ratio.csv, with the scenario, and what pruning saves each arm (`same_arm`)."""
    first = [one for one in first if any(one.panel.key == other.panel.key for other in again.scenarios)]
    alone = [Compared(one.panel, first[0].arms, [one.measured], scenario=SAME_ARM) for one in again.alone]
    frames = []
    for one in [*first, *again.scenarios, *alone]:
        rows = l0_ratios([one])
        rows.insert(rows.columns.get_loc("comparison"), "scenario", one.scenario)  # type: ignore[arg-type]
        frames.append(rows)
    return pd.concat(frames, ignore_index=True).sort_values([*PANEL, "ablation"], kind="stable", ignore_index=True)


def saved_alone(again: BothWays) -> list[str]:
    """A line per arm and panel: how much of its L0 pruning alone saves, by zero ablation."""
    lines = []
    for one in again.alone:
        found, front = one.measured.estimate, one.measured.pair.reference
        if found is not None and one.measured.ablation == "zero":
            low, middle, high = (f"{1 - np.exp(-end):.1%}" for end in _with_interval(found))
            where = f"{one.panel.key['site']}, layer {one.panel.key['layer']}"
            arm = f"{front.architecture} ({front.d_sae})"
            interval = "" if "nan" in low else f" ({low} to {high})"
            lines.append(f"{where}: pruning alone saves {arm} {middle}{interval} of its L0, the median along its front")
    return lines


def thresholds_line(again: BothWays) -> str:
    """Below which activations were set to zero; empty where none were."""
    known = {float(value) for one in again.alone for value in one.panel.runs[PRUNE_BELOW].dropna() if value > 0}
    listed = ", ".join(f"{value:g}" for value in sorted(known))
    return f"Thresholds: {listed}, on inputs scaled so that E||x||^2 = d_in." if known else ""


def _with_interval(found: Estimate) -> tuple[float, float, float]:
    """The median with its widest interval that was measured."""
    low, high = found.noise.widest(found.median)
    return float(low), found.median, float(high)
