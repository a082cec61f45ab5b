"""Everything that is found in a sweep's records, put together once for tables, words, figures and the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.comparison.arms import Arms
from pipeline.comparison.claims import Claim, claims
from pipeline.comparison.compare import Compared, panels
from pipeline.comparison.pruning import SCENARIOS, BothWays, compare_pruned
from pipeline.comparison.questions import Answer, answers
from pipeline.comparison.refusal import blanked
from pipeline.comparison.robustness import Robustness, robustness
from pipeline.comparison.vertical import ce_at_l0


@dataclass(frozen=True)
class Findings:
    """Of one sweep, or of one table of points."""

    runs: pd.DataFrame  # every declared run; loss recovered is blank where it is refused
    compared: Sequence[Compared]
    pruned: BothWays
    answers: Sequence[Answer]  # as trained and pruned: one family
    robustness: Sequence[Robustness]
    at_l0: pd.DataFrame  # as `pipeline.comparison.vertical.ce_at_l0` gives it
    source: str = ""  # of a table of points: how many of its rows were read and left out

    def claims(self) -> dict[str, list[Claim]]:
        """By scenario, the first as trained."""
        by_scenario = {name: [a for a in self.answers if a.scenario == name] for name in SCENARIOS}
        return {name: claims(found) for name, found in by_scenario.items() if found or name == SCENARIOS[0]}


def findings(
    runs: pd.DataFrame, sweeps_dir: Path | None, replicates: int, pruned: pd.DataFrame, arms: Arms | None = None,
    source: str = "",
) -> Findings:  # fmt: skip
    """Compare everything.

    Args:
        runs: as `pipeline.analysis.table.read_sweep` gives them.
        sweeps_dir: where the runs' sequences are; None for points without any.
        replicates: draws of documents; 0 for no intervals.
        pruned: as `pipeline.analysis.table.read_pruned` gives them.
        arms: the reference and its candidates.
        source: of a table of points, how many of its rows were read and left out.
    """
    compared: list[Compared] = []
    both_ways, others, at_l0 = BothWays([], []), list[Robustness](), list[pd.DataFrame]()
    for one in panels(runs, sweeps_dir, replicates, arms):
        try:
            again = compare_pruned(one, pruned, sweeps_dir)
            choices, rows = robustness(one, again.scenarios), ce_at_l0([one])
        except Exception as error:  # a fault of ours, in this panel, which keeps its ratios and verdicts as trained
            compared.append(one.with_fault("could not be compared pruned, with other choices, and at equal L0", error))
            continue
        compared.append(one)
        both_ways.scenarios.extend(again.scenarios)
        both_ways.alone.extend(again.alone)
        others += choices
        at_l0 += [rows] if len(rows) else []
    asked = answers([*compared, *both_ways.scenarios])
    shown = blanked(runs, [one.panel for one in compared])
    table = pd.concat(at_l0, ignore_index=True) if at_l0 else ce_at_l0([])
    return Findings(shown, compared, both_ways, asked, others, table, source)
