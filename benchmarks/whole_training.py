"""Does a whole training come to the same, sparse or dense? `python -m benchmarks.whole_training [quick=true]`.

Trains a gated and a baseline SAE of about the same L0 with eight seeds, each in three ways that differ by rounding
alone: sparse, all dense, and sparse with the rows of each batch in the opposite order. Rounding grows, and two
trainings of a seed end as two SAEs. Two bars:

- curves of the loss and of L0: what lies between sparse and dense (root mean square over steps and seeds) is at most
  what lies between seeds (standard deviation).
- held-out metrics on all of the bundled test text: the mean over seeds of sparse minus dense has an interval that holds
  0, or that reaches no farther from 0 than that of sparse minus reordered. The intervals are Student's, over seeds, and
  together they hold the truth in 95 %. Beside them is how far the mean moves where documents are drawn anew.
"""

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
from jaxtyping import Float
from torch import Tensor

from benchmarks.bars import add_figures
from benchmarks.composed import compose
from benchmarks.held_out import METRICS, draws, metrics
from benchmarks.options import Options
from benchmarks.paired import Difference, each_level, over_allowed
from benchmarks.table import Table
from benchmarks.three_ways import SPARSE, WAYS, Setting, held_out_sums, train
from pipeline.config.schema import RunConfig

ARMS = {"gated": 2.3, "baseline": 1.95}
CURVES = ("loss", "l0")
TOGETHER = 0.95
REPLICATES = 1000
SEEDS = range(8)
SITE_AND_RATE = ("site=mlp_out", "train.lr=8e-3")
WHOLE = ("train.steps=2500", "train.lr_decay=500")
ALL_TEXT = ("eval.sequences=1064", "eval.batch=8")
QUICK = ("train.steps=60", "train.lr_decay=12", "train.lr_warmup=10", "train.block=16384", "eval.sequences=16")


@dataclass(frozen=True)
class Trained:
    """One SAE, trained in one way."""

    curves: Mapping[str, Sequence[float]]
    metrics: Mapping[str, Float[Tensor, " replicates+1"]]  # on the text as it is, then on documents drawn from it


Found = Mapping[tuple[str, str], Sequence[Trained]]
"""By way and architecture, one for each seed."""


def runs(common: Sequence[str], seed: int) -> list[RunConfig]:
    given = [*common, f"seed={seed}"]
    return [compose([*given, f"architecture={arm}", f"sparsity_coefficient={lam}"]) for arm, lam in ARMS.items()]


def measure(common: Sequence[str], seeds: Sequence[int], replicates: int = REPLICATES) -> Found:
    """Train and evaluate both arms in every way, seed by seed.

    Args:
        common: overrides of the configuration, the same for all runs; they share one site.
    """
    setting = Setting.of(runs(common, seeds[0])[0])
    drawn = draws(setting.references.document, replicates)
    found: dict[tuple[str, str], list[Trained]] = {(way, arm): [] for way in WAYS for arm in ARMS}
    for seed in seeds:
        began = time.monotonic()
        trainers = train(setting, runs(common, seed))
        for key, sums in held_out_sums(setting, trainers).items():
            curves = {column: [row[column] for row in trainers[key].history] for column in CURVES}
            found[key].append(Trained(curves, metrics(sums, setting.references, setting.hook, drawn)))
        print(f"seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    return found


def curves_table(found: Found) -> Table:
    """What lies between two ways of training, as a share of what lies between seeds."""
    table = Table(
        "whole_training_curves",
        "curves of whole trainings: root mean square of the difference / standard deviation over seeds",
        {"architecture": "{}", "curve": "{}", "mean": "{:.4g}", "seeds": "{:.2g}", "sparse_dense": "{:.3f}",
         "sparse_reordered": "{:.3f}"},
    )  # fmt: skip
    for arm in ARMS:
        for column in CURVES:
            sparse, reordered, dense = ([one.curves[column] for one in found[way, arm]] for way in WAYS)
            seeds = _rms([statistics.stdev(at) for at in zip(*sparse, strict=True)])
            table.add(
                architecture=arm, curve=column, mean=statistics.fmean(value for one in sparse for value in one),
                seeds=seeds, sparse_dense=_between(sparse, dense) / seeds,
                sparse_reordered=_between(sparse, reordered) / seeds,
            )  # fmt: skip
    return table


def _between(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    return _rms([a - b for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)])


def _rms(values: Sequence[float]) -> float:
    return statistics.fmean(value * value for value in values) ** 0.5


def held_out_table(found: Found) -> Table:
    """Means over seeds of the differences, and half the widths of their intervals.

    `text` is the standard deviation of the mean of sparse minus dense where documents are drawn anew, `seeds` that of
    the metric itself over seeds.
    """
    level = each_level(TOGETHER, len(ARMS) * len(METRICS))
    table = Table(
        "whole_training",
        f"held-out metrics of whole trainings, {len(found[SPARSE, 'gated'])} seeds: sparse minus dense, sparse minus "
        f"reordered, each with half the width of its {level:.1%} interval over seeds",
        {"architecture": "{}", "metric": "{}", "mean": "{:.4g}", "dense": "{:+.2g}", "dense_half": "{:.2g}",
         "reordered": "{:+.2g}", "reordered_half": "{:.2g}", "text": "{:.2g}", "seeds": "{:.2g}",
         "over_allowed": "{:.3f}"},
    )  # fmt: skip
    for arm in ARMS:
        for metric in METRICS:
            sparse, reordered, dense = ([one.metrics[metric] for one in found[way, arm]] for way in WAYS)
            from_dense = [a - b for a, b in zip(sparse, dense, strict=True)]
            measured = Difference.of([float(d[0]) for d in from_dense], level)
            harmless = Difference.of([float(a[0] - b[0]) for a, b in zip(sparse, reordered, strict=True)], level)
            values = [float(each[0]) for each in sparse]
            table.add(
                architecture=arm, metric=metric, mean=statistics.fmean(values),
                dense=measured.mean, dense_half=measured.half, reordered=harmless.mean, reordered_half=harmless.half,
                text=float((sum(from_dense) / len(from_dense))[1:].std()), seeds=statistics.stdev(values),
                over_allowed=over_allowed(measured, harmless),
            )  # fmt: skip
    return table


def main(options: Options) -> None:
    length, seeds = (QUICK, SEEDS[:2]) if options.quick else ((*WHOLE, *ALL_TEXT), SEEDS)
    found = measure([*SITE_AND_RATE, *length], seeds)
    curves, held_out = curves_table(found), held_out_table(found)
    curves.show(options.out)
    held_out.show(options.out)
    figures = {
        "whole_training": max(row["sparse_dense"] for row in curves.rows),
        "whole_training_held_out": max(row["over_allowed"] for row in held_out.rows),
    }
    add_figures(options.out, figures)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
