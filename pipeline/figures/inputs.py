"""What figures are drawn from: the table of runs, the ratio's curve, and where the records are; and the arms' looks."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import KEY, as_floats, axes_of, on_frontier, point_ids
from pipeline.figures.style import PAPER, Look, looks

ALIVE_FREQUENCY = "eval.alive_frequency"
"""Column of the share of tokens on which a feature must fire to be alive."""
Looks = dict[str, Look]
"""By an arm's label, in the legend's order."""


@dataclass(frozen=True)
class FigureInputs:
    """Built by `figure_inputs`.

    runs: every declared run, with the columns `arm`, `point` (the same number for runs that differ by their seed),
        `on_frontier`, `delta_ce`, and intervals where they were computed.
    curve: the ratio along loss recovered, as l0_ratio_curve.csv.
    sweeps_dir: where the runs left their records; None for points from a table.
    pruned: of runs that were evaluated without small activations too, one row per threshold.
    published: the paper's points for panels that are also the paper's, with the same columns as `runs`.
    looks: of every arm that is declared, so that a figure of some arms shows them as the others do.
    """

    runs: pd.DataFrame
    curve: pd.DataFrame
    sweeps_dir: Path | None
    pruned: pd.DataFrame
    published: pd.DataFrame
    looks: Looks


def figure_inputs(
    runs: pd.DataFrame, curve: pd.DataFrame | None = None, sweeps_dir: Path | None = None,
    pruned: pd.DataFrame | None = None, published: pd.DataFrame | None = None,
) -> FigureInputs:  # fmt: skip
    """From the table of runs, with or without the columns that aggregation adds."""
    widths = _widths(runs)
    names = [str(name) for name in runs["architecture"]]
    labels = [f"{name} ({width[1]})" if width[1] else name for name, width in zip(names, widths, strict=True)]
    added = {"arm": pd.Series(labels, runs.index, dtype=object), "point": pd.Series(point_ids(runs), runs.index)}
    if "on_frontier" not in runs:
        added["on_frontier"] = on_frontier(runs)
    if "delta_ce" not in runs:
        added["delta_ce"] = runs["ce_sae"] - runs["ce_clean"]
    arms = sorted(set(zip(names, widths, labels, strict=True)))
    curve, pruned = (pd.DataFrame() if table is None else table for table in (curve, pruned))
    of_arms, papers = _looks(arms), runs.iloc[:0]
    if published is not None and len(published):
        paper = figure_inputs(published.assign(architecture=published["architecture"] + PAPER))
        of_arms, papers = of_arms | paper.looks, paper.runs
    return FigureInputs(runs.assign(**added), curve, sweeps_dir, pruned, papers, of_arms)


def _looks(arms: Sequence[tuple[str, tuple[float, str], str]]) -> Looks:
    """By label; of one architecture the narrowest has the full colour, wider ones paler ones."""
    of_architecture, narrower = looks(name for name, _, _ in arms), Counter[str]()
    found = {}
    for name, _, label in arms:
        found[label] = of_architecture[name].lighter(narrower[name])
        narrower[name] += 1
    return found


def _widths(runs: pd.DataFrame) -> list[tuple[float, str]]:
    """What sorts and labels each run's width: the expansion where it is known, else the width itself."""
    return [
        (x, f"{x:g} x d_in") if np.isfinite(x) else (d, f"{d:,.0f} wide") if np.isfinite(d) else (0.0, "")
        for x, d in zip(as_floats(runs["architecture.expansion"]), as_floats(runs["d_sae"]), strict=True)
    ]


DRAWN = (
    "sweep", *KEY, "arm", "architecture.expansion", "sparsity_coefficient", "seed", "point", "run", "evaluation_tokens",
    "l0",
)  # fmt: skip
"""Columns of every figure's points."""


def drawn(source: FigureInputs, columns: Iterable[str]) -> pd.DataFrame:
    """The runs that have an L0 and at least one of the columns, sorted; with their intervals and `on_frontier`."""
    names = [*columns]
    runs = pd.concat([source.runs, source.published], ignore_index=True) if len(source.published) else source.runs
    known = np.isfinite(as_floats(runs["l0"])) & np.any([np.isfinite(as_floats(runs[name])) for name in names], axis=0)
    with_ends = [part for name in names for part in (name, f"{name}_low", f"{name}_high") if part in runs]
    axes = [name for name in axes_of(source.runs) if name not in DRAWN]
    axes += [ALIVE_FREQUENCY] if "alive_fraction" in names and ALIVE_FREQUENCY in runs else []
    found: pd.DataFrame = runs.loc[known, [*DRAWN, *axes, *with_ends, "on_frontier"]]
    return found.sort_values([*KEY, "l0", "run"], ignore_index=True)
