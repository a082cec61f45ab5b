"""Noise of training: Student's t over seeds, on the log ratio, where at least five seeds were trained throughout.

The seeds' contributions are jackknife pseudo-values: leaving one seed out of every point's mean moves the ratio by its
share. Fronts of single seeds would be too ragged to read off the whole interval.
"""

import math

import numpy as np
import numpy.typing as npt

from pipeline.comparison.arms import Front, Pair
from pipeline.comparison.bootstrap import LEVEL
from pipeline.comparison.ratio import Curve, Sampler
from pipeline.comparison.student import t_quantile
from pipeline.curves import Floats
from pipeline.frontier import non_dominated

FEWEST_SEEDS = 5


def common_seeds(pair: Pair, seeds: npt.NDArray[np.int64], x: Floats, y: Floats) -> list[int]:
    """The seeds with a finished run at every point of both fronts.

    Args:
        seeds: of each run of the panel; negative where none is known.
        x, y: [runs of the panel] log L0 and fidelity.
    """
    everywhere: set[int] | None = None
    for front in (pair.baseline, pair.gated):
        on_front = non_dominated(front.averaged(x[None])[0], front.averaged(y[None])[0])
        for start, stop, kept in zip(front.starts, [*front.starts[1:], len(front.runs)], on_front, strict=True):
            if kept:
                here = set(seeds[front.runs[start:stop]].tolist())
                everywhere = here if everywhere is None else everywhere & here
    return sorted(seed for seed in everywhere or set() if seed >= 0)


def leaving_one_out(front: Front, seeds: npt.NDArray[np.int64], left_out: list[int], x: Floats, y: Floats) -> Sampler:
    """Rows: the means of all seeds, then those without each seed in turn."""
    masks = np.array([np.ones(len(seeds), bool)] + [seeds != seed for seed in left_out])
    counts = front.summed(masks.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        points = [front.summed(np.where(masks, values, 0.0)) / counts for values in (x, y)]
    return lambda rows: (points[0][rows], points[1][rows])


def half_width(curve: Curve) -> float | None:
    """Half the t interval of the estimate, from a curve whose replicates each leave one seed out."""
    deviations = curve.deviations()
    if deviations is None or len(deviations) < len(curve.first) - 1:
        return None
    count = len(deviations)
    spread = float(((deviations - deviations.mean()) ** 2).sum())
    return t_quantile(0.5 + LEVEL / 2, count - 1) * math.sqrt((count - 1) / count * spread)
