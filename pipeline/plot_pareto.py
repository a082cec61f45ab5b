"""Entry point: records on disk to tables and figures. `python pipeline/plot_pareto.py --help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.arguments import command, key_values, one_sweep
from pipeline.config import REPOSITORY
from pipeline.states import sweeps_on_disk

if TYPE_CHECKING:
    import pandas as pd

USAGE = f"""\
usage: python pipeline/plot_pareto.py [sweep=NAME] [sweeps_dir=FOLDER] [results_dir=FOLDER]

Reads the records of a sweep, of every sweep on disk by default, and writes results/<sweep>/:
  runs.csv                   every declared run, with its status
  frontier.csv               the non-dominated runs in (L0, loss recovered)
  figure_1.png, .pdf, .csv   loss recovered against L0
  figure_6.png, .pdf, .csv   gamma and alive fraction against L0

  sweep=NAME          one sweep only
  sweeps_dir=FOLDER   where runs left their records (default {REPOSITORY / "sweeps"})
  results_dir=FOLDER  where the results go (default {REPOSITORY / "results"})"""
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


@dataclass(frozen=True)
class Options:
    sweep: str | None
    sweeps_dir: Path
    results_dir: Path


def parse(arguments: Sequence[str]) -> Options:
    """key=value arguments, checked."""
    given = key_values(arguments, ("sweep", "sweeps_dir", "results_dir"))
    folders = {name: Path(given.get(f"{name}_dir", REPOSITORY / name)) for name in ("sweeps", "results")}
    return Options(given.get("sweep"), folders["sweeps"], folders["results"])


def chosen_sweeps(options: Options) -> list[str]:
    """The sweeps to aggregate; none where there is none on disk."""
    on_disk = sweeps_on_disk(options.sweeps_dir)
    return on_disk if not on_disk or options.sweep is None else [one_sweep(options.sweep, on_disk)]


def aggregate(options: Options, sweep: str) -> list[Path]:
    """Write the tables and figures of one sweep, print its results, and return the pictures' paths."""
    from pipeline.aggregate import read_sweep
    from pipeline.frontier import frontier

    runs = read_sweep(options.sweeps_dir, sweep)
    results = options.results_dir / sweep
    write_table(results / "runs.csv", runs)
    write_table(results / "frontier.csv", frontier(runs))
    print_results(sweep, runs)
    return draw_figures(results, runs)


def write_table(path: Path, rows: "pd.DataFrame") -> None:
    from pipeline.files import write_text

    write_text(path, rows.to_csv(index=False, lineterminator="\n"))


def draw_figures(results: Path, runs: "pd.DataFrame") -> list[Path]:
    """Each figure, with its data beside it; nothing where no run has what the figure shows."""
    from pipeline.figures import figure_1, figure_6, style

    pictures = []
    for name, figure in (("figure_1", figure_1), ("figure_6", figure_6)):
        points = figure.data(runs)
        if len(points):
            write_table(results / f"{name}.csv", points)
            pictures += style.save(figure.draw(points), results / name)
    return pictures


def print_results(sweep: str, runs: "pd.DataFrame") -> None:
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


def _print_table(done: "pd.DataFrame") -> None:
    from pipeline.frontier import on_frontier

    order = ["model", "site", "layer", "architecture", "sparsity_coefficient", "seed"]
    ordered = done.assign(front=on_frontier(done).map({True: "*", False: ""})).sort_values(order, kind="stable")
    shown = ordered if len(ordered) <= LINES_SHOWN else ordered[ordered["front"] == "*"].head(LINES_SHOWN)
    varying = [name for name in ("model", "data.name", "seed") if done[name].nunique() > 1]
    formats = dict.fromkeys(varying, "{}") | TABLE
    for line in _aligned([[HEADINGS.get(n, n) for n in formats], *_cells(shown, formats)]):
        print(f"  {line}".rstrip())
    if len(shown) < len(ordered):
        print(f"  {len(shown)} of {len(ordered)} finished runs, of the frontiers, are shown; all are in runs.csv")


def _cells(rows: "pd.DataFrame", formats: dict[str, str]) -> list[list[str]]:
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


def plot(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    sweeps = chosen_sweeps(options)
    if not sweeps:
        where = options.sweeps_dir
        print(f"no sweep on disk: {where} has no manifest; python pipeline/run.py makes one", file=sys.stderr)
        return 1
    for path in [path for sweep in sweeps for path in aggregate(options, sweep)]:
        print(path)
    return 0


def main(arguments: Sequence[str]) -> int:
    return command(plot, USAGE, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
