"""What plot_pareto.py takes: its help, and its arguments, checked before anything slow is imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.analysis.results_folder import check_name, check_writable
from pipeline.cli import options
from pipeline.cli.options import folder, option, path, true_or_false, whole_number
from pipeline.errors import UserError
from pipeline.storage.places import RESULTS, SWEEPS

if TYPE_CHECKING:
    from pipeline.analysis.curves import Floats
    from pipeline.comparison.arms import Arms

ABOUT = """
Reads the records of a sweep, of every sweep on disk by default, and writes results/<sweep>/. It replaces files of these
names there, and leaves others alone:
  runs.csv                   every declared run, with its status
  columns.csv                what each column of runs.csv means
  frontier.csv               the non-dominated points in (L0, loss recovered), means over seeds
  frontiers.csv              each frontier's extent and hypervolume
  verdicts.csv               which arm is better, and the paper's claims, at every site: with p-values
  l0_ratio.csv               L0 of the reference over L0 of a candidate at equal loss recovered, with intervals
  l0_ratio_curve.csv         that ratio along loss recovered, with a simultaneous band, as trained and pruned
  saved.csv                  cross-entropy that a candidate saves at equal L0, with intervals
  ce_at_l0.csv               cross-entropy added at L0 of 10, 20, 50, 100, and its mean difference between the fronts
  robustness.csv             the ratio with other choices: a lambda left out, pruned, joined otherwise, ...
  documents.csv              the held-out documents that intervals resample, with their numbers of tokens
  compute_hit.csv            with family=: the share of training compute that each run's loss is worth
  summary.md                 claims, numbers and rules in words
  report.html                all of it on one page, for a browser: points show their settings, tables sort
  pruning.csv                the same without small activations, for runs evaluated with eval=pruning
  figure_*.png, .pdf, .svg, .csv
                             figures, each with the data that it is drawn from; report.html says what each shows.
                             Your own are figures/figure_*.py in the working directory"""
REPLICATES = 2000
"""Draws of the bootstrap unless others are asked for."""
FEWEST_REPLICATES = 100
"""With fewer, the quantiles at the ends of an interval are too coarse: equal arms would get a verdict."""


MOST_REPLICATES = 100_000
"""Their quantiles are known to a hundredth of the noise; memory grows with their number."""


def _replicates(key: str, value: str) -> int:
    count = whole_number(key, value)
    if count > MOST_REPLICATES:
        raise UserError(f"{key}={count}: expected at most {MOST_REPLICATES}; more draws narrow no interval")
    if 0 < count < FEWEST_REPLICATES:
        raise UserError(f"{key}={count}: expected 0 (no intervals), or at least {FEWEST_REPLICATES}")
    return count


def _family(_: str, value: str) -> "tuple[Floats, Floats]":
    from pipeline.analysis.compute_efficiency import read_family

    return read_family(Path(value))


def _names(_: str, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(","))


IN_PERCENT = "with source=: loss recovered and other shares in that table are in percent"
TABLE = "points from a table (the paper's column names or ours) instead of records: results/<its stem>/"
FAMILY = "training compute and loss of a family of language models: columns compute, loss"


@dataclass(frozen=True)
class Options:
    sweep: str | None = option("NAME", "one sweep only")
    source: Path | None = option("FILE.csv", TABLE, path)
    percent: bool = option("true", IN_PERCENT, true_or_false, default=False)
    reference: str = option(
        "ARM", "the architecture that the others are compared with (default baseline)", default="baseline"
    )
    candidates: tuple[str, ...] | None = option(
        "ARM,ARM", "those that are compared with it (default: every other one)", _names
    )
    family: "tuple[Floats, Floats] | None" = option("FILE.csv", FAMILY, _family)
    replicates: int = option(
        "N", f"draws of the bootstrap over documents (default {REPLICATES}; 0: no intervals)", _replicates, REPLICATES
    )
    sweeps_dir: Path = option("FOLDER", f"where runs left their records (default {SWEEPS})", folder, SWEEPS)
    results_dir: Path = option("FOLDER", f"where the results go (default {RESULTS})", path, RESULTS)

    @property
    def arms(self) -> "Arms":
        from pipeline.comparison.arms import Arms

        return Arms(self.reference, self.candidates)


USAGE = options.usage("plot_pareto", ABOUT, Options)


def parse(arguments: Sequence[str]) -> Options:
    """The options, each checked by itself and against the others."""
    found = options.parse(Options, arguments)
    if found.sweep is not None and found.source is not None:
        raise UserError("sweep= and source= exclude each other: records or a table")
    if found.percent and found.source is None:
        raise UserError("percent= is for source=: records hold fractions")
    if found.source is not None:
        check_name(found.source, found.sweeps_dir, found.results_dir)
    check_writable(found.results_dir)
    if found.candidates is not None and (not all(found.candidates) or found.reference in found.candidates):
        named = ",".join(found.candidates)
        raise UserError(f"candidates={named}: expected architectures other than the reference, as gated,topk")
    return found
