"""What plot_pareto prints: a screen of results, then what has failed or is not compared."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.analysis.frontier import axes_of, mixed_settings, on_frontier, points
from pipeline.comparison.summary import absent_lines
from pipeline.records.columns import FORMS, heading
from pipeline.storage.places import door

BEFORE, AFTER = ("site", "layer", "architecture", "d_sae"), ("l0", "loss_recovered", "gamma", "alive_fraction")
"""Columns before those that the fronts are swept along, and after them."""
FRONT, SEEDS = "on_frontier", "seeds"
STATES = ("done", "running", "waiting", "failed", "missing")
CELL = 28
"""Characters of a cell that are printed at most."""
LINES_SHOWN = 40
"""Rows of a table, or runs without a record, that are printed at most."""


def print_results(sweep: str, runs: pd.DataFrame) -> None:
    """A screen of results, then a line for each run that has failed or is missing."""
    done = runs[runs["status"] == "done"]
    print(f"{sweep}: {len(runs)} runs: {_counts(runs)}")
    _print_table(done)
    absent = absent_lines(runs)
    for line in absent[:LINES_SHOWN]:
        print(line)
    if len(absent) > LINES_SHOWN:
        print(f"and {len(absent) - LINES_SHOWN} more, all in runs.csv")


def print_unfinished(sweep: str, runs: pd.DataFrame) -> None:
    """The one line on a sweep without a finished run."""
    declared = f"{len(runs)} runs: {_counts(runs)}" if len(runs) else "no run is declared"
    print(f"{sweep}: {declared}; nothing is finished, so nothing is drawn ({door('status')} sweep={sweep})")


def _counts(runs: pd.DataFrame) -> str:
    counts = runs["status"].value_counts()
    return ", ".join(f"{counts[name]} {name}" for name in STATES if name in counts)


def _print_table(done: pd.DataFrame) -> None:
    axes = [*axes_of(done), *mixed_settings(done)]
    several = done["seed"].nunique() > 1
    rows = points(done).rename(columns={"n_seeds": SEEDS}) if several else done.assign(**{FRONT: on_frontier(done)})
    order = ["model", "site", "layer", "architecture", *axes]
    ordered = rows.assign(**{FRONT: rows[FRONT].map({True: "*", False: ""})}).sort_values(order, kind="stable")
    shown = ordered if len(ordered) <= LINES_SHOWN else ordered[ordered[FRONT] == "*"].head(LINES_SHOWN)
    varying = [name for name in ("model", "data.name") if done[name].nunique() > 1] + [SEEDS] * several
    names = [name for name in (*varying, *BEFORE, *axes, *AFTER, FRONT) if shown[name].notna().any()]
    cells = [[_cell(name, value) for value in shown[name]] for name in names]
    lines = [[heading(name) for name in names], *map(list, zip(*cells, strict=True))]
    for line in _aligned(lines, [pd.api.types.is_numeric_dtype(shown[name]) for name in names]):
        print(f"  {line}".rstrip())
    if len(shown) < len(ordered):
        what = "points, means over seeds," if several else "finished runs,"
        print(f"  {len(shown)} of {len(ordered)} {what} of the frontiers, are shown; all runs are in runs.csv")


def _cell(name: str, value: Any) -> str:
    """A value as text; blank where it is unknown."""
    if not isinstance(value, str) and pd.isna(value):
        return ""
    form = FORMS.get(name) or ("{:g}" if isinstance(value, float) else "{}")
    return form.format(value)[:CELL]


def _aligned(lines: list[list[str]], numbers: list[bool]) -> list[str]:
    """Columns as wide as their widest cell; text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        )
        for line in lines
    ]


def print_ratios(ratios: Sequence[str], not_compared: Sequence[str]) -> None:
    """The headline, one line per comparison; then what has none, is refused or died."""
    if ratios:
        print("  verdicts, by L0 of the reference / L0 of the candidate at equal loss recovered (95 % intervals):")
    for line in [*ratios, *not_compared][:LINES_SHOWN]:
        print(f"  {line}")
    if len(ratios) + len(not_compared) > LINES_SHOWN:
        print(f"  and {len(ratios) + len(not_compared) - LINES_SHOWN} more, all in l0_ratio.csv and summary.md")
