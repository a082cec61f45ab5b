"""What plot_pareto prints: a screen of results, then what has failed or is not compared."""

from collections.abc import Sequence

import pandas as pd

from pipeline.frontier import on_frontier

TABLE = {
    "site": "{}", "layer": "{}", "architecture": "{}", "d_sae": "{}", "sparsity_coefficient": "{:g}", "l0": "{:.2f}",
    "loss_recovered": "{:.4f}", "gamma": "{:.3f}", "alive_fraction": "{:.1%}", "front": "{}",
}  # fmt: skip
HEADINGS = {
    "sparsity_coefficient": "lambda", "l0": "L0", "loss_recovered": "loss recovered", "alive_fraction": "alive",
    "front": "* on the frontier",
}  # fmt: skip
CELL = 28
"""Characters of a cell that are printed at most."""
LINES_SHOWN = 40
"""Rows of a table, or runs without a record, that are printed at most."""


def print_results(sweep: str, runs: pd.DataFrame) -> None:
    """A screen of results, then a line for each run that has failed or is missing."""
    counts = runs["status"].value_counts()
    parts = [f"{counts[name]} {name}" for name in ("done", "running", "waiting", "failed", "missing") if name in counts]
    print(f"{sweep}: {len(runs)} runs: {', '.join(parts)}" if parts else f"{sweep}: no run is declared")
    done = runs[runs["status"] == "done"]
    if len(done):
        _print_table(done)
    else:
        print(f"{sweep}: nothing to draw yet: no run is finished")
    absent = runs[runs["status"].isin(["failed", "missing"])].sort_values("status", kind="stable")
    for row in absent.head(LINES_SHOWN).itertuples():
        print(f"{row.status}: {row.run}: {row.reason}")
    if len(absent) > LINES_SHOWN:
        print(f"and {len(absent) - LINES_SHOWN} more, all in runs.csv")


def _print_table(done: pd.DataFrame) -> None:
    order = ["model", "site", "layer", "architecture", "sparsity_coefficient", "seed"]
    ordered = done.assign(front=on_frontier(done).map({True: "*", False: ""})).sort_values(order, kind="stable")
    shown = ordered if len(ordered) <= LINES_SHOWN else ordered[ordered["front"] == "*"].head(LINES_SHOWN)
    varying = [name for name in ("model", "data.name", "seed") if done[name].nunique() > 1]
    formats = dict.fromkeys(varying, "{}") | TABLE
    for line in _aligned([[HEADINGS.get(n, n) for n in formats], *_cells(shown, formats)]):
        print(f"  {line}".rstrip())
    if len(shown) < len(ordered):
        print(f"  {len(shown)} of {len(ordered)} finished runs, of the frontiers, are shown; all are in runs.csv")


def _cells(rows: pd.DataFrame, formats: dict[str, str]) -> list[list[str]]:
    columns = ([pattern.format(value)[:CELL] for value in rows[name]] for name, pattern in formats.items())
    return [list(cells) for cells in zip(*columns, strict=True)]


def _aligned(lines: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    to_left = [not cell[:1].isdigit() for cell in lines[-1]]
    return [
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, to_left, strict=True)
        )
        for line in lines
    ]


def print_ratios(ratios: Sequence[str], not_compared: Sequence[str]) -> None:
    """The headline, a line a comparison, and what has none."""
    if ratios:
        print("  L0 of the baseline / L0 of gated at equal loss recovered, 95 % intervals (widths: baseline / gated):")
    for line in [*ratios, *not_compared][:LINES_SHOWN]:
        print(f"  {line}")
    if len(ratios) + len(not_compared) > LINES_SHOWN:
        print(f"  and {len(ratios) + len(not_compared) - LINES_SHOWN} more, all in l0_ratio.csv and summary.md")
