"""The results of one sweep, or of one table: read, compared, written, and printed in short."""

import shlex
from pathlib import Path

import pandas as pd

from pipeline.analysis.compute_efficiency import compute_hits
from pipeline.analysis.external_points import paper_points, read_source
from pipeline.analysis.frontier import died_lines, frontier, frontiers, on_frontier
from pipeline.analysis.results_folder import check_writable
from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import pruning, robustness, summary, tables
from pipeline.comparison.findings import Findings, findings
from pipeline.figures.draw_all import draw_figures
from pipeline.figures.inputs import figure_inputs
from pipeline.records.columns import guide
from pipeline.report.options import REPLICATES, Options
from pipeline.report.page import ReportInputs, page
from pipeline.report.terminal import print_ratios, print_results, print_unfinished
from pipeline.storage.files import csv_text, write_text
from pipeline.storage.layout import MANIFEST, sweep_folder
from pipeline.storage.places import PAPER_TABLE, door
from pipeline.storage.reading import whole_object

TABLES = (
    "frontier", "frontiers", "verdicts", "l0_ratio", "l0_ratio_curve", "saved", "ce_at_l0", "robustness", "pruning",
    "compute_hit", "documents",
)  # fmt: skip


def aggregate(options: Options, sweep: str) -> list[Path]:
    """Write the tables and figures of one sweep, print its results, and return the paths to look at."""
    runs = read_sweep(options.sweeps_dir, sweep)
    options.arms.check(runs["architecture"].dropna().unique(), sweep)
    check_writable(options.results_dir / sweep)
    pruned = read_pruned(options.sweeps_dir, runs)
    found = findings(runs, options.sweeps_dir, options.replicates, pruned, options.arms)
    (print_results if runs["status"].eq("done").any() else print_unfinished)(sweep, found.runs)
    return write_results(options, sweep, found, pruned)


def aggregate_source(options: Options, path: Path) -> list[Path]:
    """As `aggregate`, for points from a CSV; there are no sequences, hence no intervals over them."""
    source = read_source(path, options.percent)
    options.arms.check(source.runs["architecture"].dropna().unique(), source.name)
    check_writable(options.results_dir / source.name)
    found = findings(source.runs, None, options.replicates, source.runs.iloc[:0], options.arms, source.line)
    print(source.line)
    print_results(source.name, found.runs)
    return write_results(options, source.name, found, source.runs.iloc[:0])


def write_results(options: Options, name: str, found: Findings, pruned: pd.DataFrame) -> list[Path]:
    """Tables, figures, words and page of one sweep or source; the ratios go to the screen too.

    Returns:
        The paths of the pictures (PNG; the other kinds lie next to them), then of the words, and the page's last.
    """
    results, runs = options.results_dir / name, found.runs
    with_intervals = tables.with_intervals(runs, found.compared).assign(on_frontier=on_frontier(runs))
    write_table(results / "runs.csv", with_intervals)
    write_text(results / "columns.csv", csv_text(guide(map(str, with_intervals)), ["column", "heading", "meaning"]))
    _write_tables(options, results, found)
    write_text(results / "summary.md", summary.summary(name, found))
    records, typed = (None if options.source else options.sweeps_dir), _commands(options, name)
    published = None if options.source and options.source.resolve() == PAPER_TABLE else paper_points(runs)
    drawn = figure_inputs(with_intervals, tables.curves(found.compared), records, pruned, published)
    figures = draw_figures(drawn, results)
    inputs = ReportInputs(name, found, with_intervals, records, typed, figures)
    write_text(results / "report.html", page(inputs, results))
    print_ratios(summary.ratio_lines(found), [*died_lines(runs), *summary.not_compared(found)])
    _keep_faults(results, found)
    pictures = [path for figure in figures for path in figure.files if path.suffix == ".png"]
    return [*pictures, results / "summary.md", results / "report.html"]


def _write_tables(options: Options, results: Path, found: Findings) -> None:
    """The tables that a sweep has something for; those of an earlier call go where it has nothing."""
    written: dict[str, pd.DataFrame | None] = {}
    if found.runs["status"].eq("done").any():
        written = {
            "frontier": frontier(found.runs), "frontiers": frontiers(found.runs),
            "verdicts": tables.verdicts(found.answers), "l0_ratio": tables.l0_ratios(found.compared),
            "l0_ratio_curve": tables.curves([*found.compared, *found.pruned.scenarios]),
            "saved": tables.savings(found.compared), "documents": tables.documents(found.compared),
            "ce_at_l0": found.at_l0, "robustness": robustness.table(found.robustness),
        }  # fmt: skip
        if options.family is not None:
            written["compute_hit"] = compute_hits(found.runs, options.family)
    if found.pruned.scenarios:
        written["pruning"] = pruning.table(found.compared, found.pruned)
    for file in TABLES:
        table = written.get(file)
        if table is None:
            (results / f"{file}.csv").unlink(missing_ok=True)
        else:
            write_table(results / f"{file}.csv", table)


def _keep_faults(results: Path, found: Findings) -> None:
    """Tracebacks of panels that failed by a fault of this program."""
    faults = [one.fault for one in found.compared if one.fault]
    if faults:
        write_text(results / "faults.txt", "\n".join(faults))
    else:
        (results / "faults.txt").unlink(missing_ok=True)


def _commands(options: Options, name: str) -> list[str]:
    """The commands that trained the runs, and the one that writes their results."""
    manifest = {} if options.source else whole_object(sweep_folder(options.sweeps_dir, name) / MANIFEST) or {}
    chosen = f"source={options.source.name}" if options.source else f"sweep={name}"
    further = ["percent=true"] if options.percent else []
    further += [] if options.arms.reference == "baseline" else [f"reference={options.arms.reference}"]
    further += [] if options.arms.candidates is None else [f"candidates={','.join(options.arms.candidates)}"]
    further += [] if options.replicates == REPLICATES else [f"replicates={options.replicates}"]
    training = [manifest["command"]] if manifest.get("command") else []
    return [*training, f"{door('plot_pareto')} {shlex.join([chosen, *further])}"]


def write_table(path: Path, rows: pd.DataFrame) -> None:
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))
