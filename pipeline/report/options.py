"""What plot_pareto.py takes: its help, and its arguments, checked before anything slow is imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.analysis.results_folder import check_name, check_writable
from pipeline.cli.options import key_values, records_folder, true_or_false, whole_number
from pipeline.errors import UserError
from pipeline.storage.places import RESULTS, SWEEPS, door

if TYPE_CHECKING:
    from pipeline.analysis.curves import Floats
    from pipeline.comparison.arms import Arms

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
REPLICATES = 2000
"""Draws of the bootstrap unless others are asked for."""
FEWEST_REPLICATES = 100
"""Of fewer, the quantiles that an interval ends at are hardly those of the noise: equal arms would get a verdict."""


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
