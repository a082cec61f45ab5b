"""Entry point: records on disk to tables and figures. `python pipeline/plot_pareto.py --help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

import logging
import shlex
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.analysis.results_folder import check_name, check_writable
from pipeline.cli.options import command, key_values, one_sweep, records_folder, true_or_false, whole_number
from pipeline.errors import UserError
from pipeline.records.status import sweeps_on_disk
from pipeline.storage.layout import MANIFEST, sweep_folder
from pipeline.storage.places import CHECKOUT, PAPER_TABLE, RESULTS, SWEEPS, door
from pipeline.storage.reading import whole_object

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.analysis.curves import Floats
    from pipeline.comparison.arms import Arms
    from pipeline.comparison.findings import Findings

USAGE = f"""\
usage: {door("plot_pareto")} [sweep=NAME | source=FILE.csv [percent=true]] [reference=ARM]
                                      [candidates=ARM,ARM] [replicates=N] [family=FILE.csv] [sweeps_dir=FOLDER]
                                      [results_dir=FOLDER]

Reads the records of a sweep, of every sweep on disk by default, and writes results/<sweep>/:
  runs.csv                   every declared run, with its status
  columns.csv                what each column of runs.csv means
  frontier.csv               the non-dominated points in (L0, loss recovered), means over seeds
  frontiers.csv              each frontier's extent and hypervolume
  verdicts.csv               which arm is better, and the paper's claims, at every site: with p-values
  l0_ratio.csv               L0 of the reference over L0 of a candidate at equal loss recovered, with intervals
  l0_ratio_curve.csv         that ratio along loss recovered, with a simultaneous band
  saved.csv                  cross-entropy that a candidate saves at equal L0, with intervals
  ce_at_l0.csv               cross-entropy added at L0 of 10, 20, 50, 100, and between the fronts on the average
  robustness.csv             the ratio with other choices: a lambda left out, pruned, joined otherwise, ...
  compute_hit.csv            with family=: the share of training compute that each run's loss is worth
  summary.md                 claims, numbers and rules in words
  report.html                all of it on one page, for a browser: points show their settings, tables sort
  figure_*.png, .pdf, .svg, .csv
                             1: loss recovered against L0; 6: gamma and alive fraction against L0; l0_ratio: the ratio
                             along loss recovered; diagnostics: gamma, alive and cross-entropy against L0;
                             training: curves; density: how often features fire; 8, 9: variants of either arm
  pruning.csv, figure_pruning.*
                             the same without small activations, for runs evaluated with eval=pruning

  sweep=NAME          one sweep only
  source=FILE.csv     points from a table (the paper's column names or ours) instead of records: results/<its stem>/
  percent=true        loss recovered and other shares in that table are in percent
  reference=ARM       the architecture that the others are compared with (default baseline)
  candidates=ARM,ARM  those that are compared with it (default: every other one)
  replicates=N        draws of the bootstrap over documents (default 2000; 0: no intervals)
  family=FILE.csv     training compute and loss of a family of language models: columns compute, loss
  sweeps_dir=FOLDER   where runs left their records (default {SWEEPS})
  results_dir=FOLDER  where the results go (default {RESULTS})"""
KEYS = (
    "sweep", "source", "percent", "reference", "candidates", "family", "replicates", "sweeps_dir", "results_dir",
)  # fmt: skip
TABLES = (
    "frontier", "frontiers", "verdicts", "l0_ratio", "l0_ratio_curve", "saved", "ce_at_l0", "robustness", "pruning",
    "compute_hit",
)  # fmt: skip
REPLICATES = 2000
"""Draws of the bootstrap unless others are asked for."""
FEWEST_REPLICATES = 100
"""Of fewer, the quantiles that an interval ends at are hardly those of the noise: equal arms would get a verdict."""

MOST_REPLICATES = 100_000
"""Their quantiles are known to a hundredth of the noise; memory grows with their number."""


@dataclass(frozen=True)
class Options:
    sweep: str | None
    source: Path | None
    family: "tuple[Floats, Floats] | None"
    percent: bool
    arms: "Arms"
    replicates: int
    sweeps_dir: Path
    results_dir: Path


def parse(arguments: Sequence[str]) -> Options:
    """key=value arguments, checked."""
    given = key_values(arguments, KEYS)
    sweeps_dir, results_dir = records_folder(given, SWEEPS), Path(given.get("results_dir", RESULTS))
    replicates = whole_number("replicates", given.get("replicates", str(REPLICATES)))
    if 0 < replicates < FEWEST_REPLICATES:
        raise UserError(f"replicates={replicates}: expected 0 (no intervals), or at least {FEWEST_REPLICATES}")
    if replicates > MOST_REPLICATES:
        raise UserError(f"replicates={replicates}: expected at most {MOST_REPLICATES}; more draws narrow no interval")
    if {"sweep", "source"} <= set(given):
        raise UserError("sweep= and source= exclude each other: records or a table")
    if "percent" in given and "source" not in given:
        raise UserError("percent= is for source=: records hold fractions")
    percent = true_or_false("percent", given.get("percent", "false"))
    source = Path(given["source"]) if "source" in given else None
    if source is not None:
        check_name(source, sweeps_dir, results_dir)
    check_writable(results_dir)
    family = _family(Path(given["family"])) if "family" in given else None
    arms = _arms(given.get("reference"), given.get("candidates"))
    return Options(given.get("sweep"), source, family, percent, arms, replicates, sweeps_dir, results_dir)


def _arms(reference: str | None, candidates: str | None) -> "Arms":
    from pipeline.comparison.arms import BASELINE, Arms

    named = None if candidates is None else tuple(name.strip() for name in candidates.split(","))
    if named is not None and (not all(named) or (reference or BASELINE) in named):
        raise UserError(f"candidates={candidates}: expected architectures other than the reference, as gated,topk")
    return Arms(reference or BASELINE, named)


def _family(path: Path) -> "tuple[Floats, Floats]":
    from pipeline.analysis.compute_efficiency import read_family

    return read_family(path)


def chosen_sweeps(options: Options) -> list[str]:
    """The sweeps to aggregate; none where there is none on disk."""
    on_disk = sweeps_on_disk(options.sweeps_dir)
    return on_disk if options.sweep is None else [one_sweep(options.sweep, on_disk)]


def aggregate(options: Options, sweep: str) -> list[Path]:
    """Write the tables and figures of one sweep, print its results, and return the paths to look at."""
    from pipeline.analysis.table import read_pruned, read_sweep
    from pipeline.comparison.findings import findings
    from pipeline.report.terminal import print_results, print_unfinished

    runs = read_sweep(options.sweeps_dir, sweep)
    options.arms.check(runs["architecture"].dropna().unique(), sweep)
    check_writable(options.results_dir / sweep)
    pruned = read_pruned(options.sweeps_dir, runs)
    found = findings(runs, options.sweeps_dir, options.replicates, pruned, options.arms)
    (print_results if runs["status"].eq("done").any() else print_unfinished)(sweep, found.runs)
    return write_results(options, sweep, found, pruned)


def aggregate_source(options: Options, path: Path) -> list[Path]:
    """As `aggregate`, for points from a CSV; there are no sequences, hence no intervals over them."""
    from pipeline.analysis.external_points import read_source
    from pipeline.comparison.findings import findings
    from pipeline.report.terminal import print_results

    source = read_source(path, options.percent)
    options.arms.check(source.runs["architecture"].dropna().unique(), source.name)
    check_writable(options.results_dir / source.name)
    found = findings(source.runs, None, options.replicates, source.runs.iloc[:0], options.arms, source.line)
    print(source.line)
    print_results(source.name, found.runs)
    return write_results(options, source.name, found, source.runs.iloc[:0])


def write_results(options: Options, name: str, found: "Findings", pruned: "pd.DataFrame") -> list[Path]:
    """Tables, figures, words and page of one sweep or source; the ratios go to the screen too.

    Returns:
        The paths of the pictures (of one kind: the others lie beside), then of the words, and the page's last.
    """
    from pipeline.analysis.external_points import paper_points
    from pipeline.analysis.frontier import died_lines, on_frontier
    from pipeline.comparison import summary, tables
    from pipeline.figures.draw_all import draw_figures
    from pipeline.figures.inputs import material
    from pipeline.records.columns import guide
    from pipeline.report.page import Results, page
    from pipeline.report.terminal import print_ratios
    from pipeline.storage.files import csv_text, write_text

    results, runs = options.results_dir / name, found.runs
    with_intervals = tables.with_intervals(runs, found.compared).assign(on_frontier=on_frontier(runs))
    write_table(results / "runs.csv", with_intervals)
    write_text(results / "columns.csv", csv_text(guide(map(str, with_intervals)), ["column", "heading", "meaning"]))
    _write_tables(options, results, found)
    write_text(results / "summary.md", summary.summary(name, found))
    records, typed = (None if options.source else options.sweeps_dir), _commands(options, name)
    beside = None if options.source and options.source.resolve() == PAPER_TABLE else paper_points(runs)
    drawn = material(with_intervals, tables.curves(found.compared), records, pruned, beside)
    pictures = draw_figures(drawn, results)
    write_text(results / "report.html", page(Results(name, found, with_intervals, records, typed, pictures), results))
    print_ratios(summary.ratio_lines(found), [*died_lines(runs), *summary.not_compared(found)])
    _keep_faults(results, found)
    return [*(path for path in pictures if path.suffix == ".png"), results / "summary.md", results / "report.html"]


def _write_tables(options: Options, results: Path, found: "Findings") -> None:
    """The tables that a sweep has something for; those of an earlier call go where it has nothing."""
    from pipeline.analysis.compute_efficiency import compute_hits
    from pipeline.analysis.frontier import frontier, frontiers
    from pipeline.comparison import pruning, robustness, tables

    made: dict[str, pd.DataFrame | None] = {}
    if found.runs["status"].eq("done").any():
        made = {
            "frontier": frontier(found.runs), "frontiers": frontiers(found.runs),
            "verdicts": tables.verdicts(found.answers), "l0_ratio": tables.l0_ratios(found.compared),
            "l0_ratio_curve": tables.curves(found.compared), "saved": tables.savings(found.compared),
            "ce_at_l0": found.at_l0, "robustness": robustness.table(found.robustness),
        }  # fmt: skip
    if found.pruned.scenarios:
        made["pruning"] = pruning.table(found.compared, found.pruned)
    if options.family is not None:
        made["compute_hit"] = compute_hits(found.runs, options.family)
    for file in TABLES:
        table = made.get(file)
        if table is None:
            (results / f"{file}.csv").unlink(missing_ok=True)
        else:
            write_table(results / f"{file}.csv", table)


def _keep_faults(results: Path, found: "Findings") -> None:
    """What went wrong in a panel by our fault, for whoever mends it."""
    from pipeline.storage.files import write_text

    faults = [one.fault for one in found.compared if one.fault]
    if faults:
        write_text(results / "faults.txt", "\n".join(faults))
    else:
        (results / "faults.txt").unlink(missing_ok=True)


def _commands(options: Options, name: str) -> list[str]:
    """What was typed to make the runs, and what makes the results of them."""
    manifest = {} if options.source else whole_object(sweep_folder(options.sweeps_dir, name) / MANIFEST) or {}
    chosen = f"source={options.source.name}" if options.source else f"sweep={name}"
    further = ["percent=true"] if options.percent else []
    further += [] if options.arms.reference == "baseline" else [f"reference={options.arms.reference}"]
    further += [] if options.arms.candidates is None else [f"candidates={','.join(options.arms.candidates)}"]
    further += [] if options.replicates == REPLICATES else [f"replicates={options.replicates}"]
    made = [manifest["command"]] if manifest.get("command") else []
    return [*made, f"{door('plot_pareto')} {shlex.join([chosen, *further])}"]


def write_table(path: Path, rows: "pd.DataFrame") -> None:
    from pipeline.storage.files import write_text

    write_text(path, rows.to_csv(index=False, lineterminator="\n"))


def plot(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where its cache cannot be kept is not worth two lines
    if not CHECKOUT:
        print(f"results go to {options.results_dir}")
    if options.source is not None:
        print_paths(aggregate_source(options, options.source))
        return 0
    sweeps = chosen_sweeps(options)
    if not sweeps:
        print(f"no sweep on disk: {options.sweeps_dir} has no manifest; {door('run')} makes one", file=sys.stderr)
        return 1
    paths, code = [], 0
    for sweep in sweeps:
        try:
            paths += aggregate(options, sweep)
        except UserError as error:  # of this sweep: the others go on
            print(f"error: {sweep}: {error}" if len(sweeps) > 1 else f"error: {error}", file=sys.stderr)
            code = 2
        except Exception as error:  # a fault of ours, in this sweep: the others go on
            _report_fault(options.results_dir / sweep, sweep, error)
            code = 3
    print_paths(paths)
    return code


def _report_fault(results: Path, sweep: str, error: Exception) -> None:
    """One line, and the traceback in a file."""
    from pipeline.storage.files import write_text

    path = results / "faults.txt"
    write_text(path, "".join(traceback.format_exception(error)))
    print(f"error: {sweep}: a fault of this program ({type(error).__name__}: {error}): {path} has it", file=sys.stderr)


def print_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        print(path)


def main(arguments: Sequence[str] | None = None) -> int:
    return command(plot, USAGE, arguments)


if __name__ == "__main__":
    sys.exit(main())
