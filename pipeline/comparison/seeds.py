"""Noise of training, by the jackknife: leaving a seed out of every point's mean moves the fronts by its share.

Fronts of single seeds would be too ragged to read off the whole interval.
"""

import numpy as np
import numpy.typing as npt

from pipeline.analysis.curves import Floats
from pipeline.analysis.frontier import non_dominated
from pipeline.comparison.along import Sampler
from pipeline.comparison.arms import Front, Pair

FEWEST_SEEDS = 3
"""Below that the noise of training is not measured."""


def common_seeds(pair: Pair, seeds: npt.NDArray[np.int64], x: Floats, y: Floats) -> list[int]:
    """The seeds with a finished run at every point of both fronts.

    Args:
        seeds: of each run of the panel; negative where none is known.
        x, y: [runs of the panel] log L0 and fidelity.
    """
    first, second = (seeds_of(front, seeds, x, y) for front in pair.fronts)
    return sorted(first & second)


def seeds_of(front: Front, seeds: npt.NDArray[np.int64], x: Floats, y: Floats) -> set[int]:
    """As `common_seeds`, of one front."""
    everywhere: set[int] | None = None
    on_front = non_dominated(front.averaged(x[None])[0], front.averaged(y[None])[0])
    for start, stop, kept in zip(front.starts, [*front.starts[1:], len(front.runs)], on_front, strict=True):
        if kept:
            here = set(seeds[front.runs[start:stop]].tolist())
            everywhere = here if everywhere is None else everywhere & here
    return {seed for seed in everywhere or set() if seed >= 0}


def leaving_one_out(front: Front, seeds: npt.NDArray[np.int64], left_out: list[int], x: Floats, y: Floats) -> Sampler:
    """Rows: the means of all seeds, then those without each seed in turn."""
    masks = np.array([np.ones(len(seeds), bool)] + [seeds != seed for seed in left_out])
    counts = front.summed(masks.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        points = [front.summed(np.where(masks, values, 0.0)) / counts for values in (x, y)]
    return lambda rows: (points[0][rows], points[1][rows])
