"""The headline: L0 of the baseline over L0 of gated at equal fidelity, where both fronts have a value.

The estimand is the median of the ratio over fidelity, uniform along the overlap of the two fronts as estimated. That
interval stays fixed in every replicate. A replicate's front may end a little inside it; the replicate is then compared
with the estimate over the part that it covers, so that a part cut off shifts neither. One that covers less than half
does not count, and where more than one in twenty does not count there is no interval.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.curves import Floats, fronts, overlap, read_off

GRID = 200
"""Places along the overlap, in the middle of equal cells."""
LEAST_COVERED = 0.5
MOST_REFUSED = 0.05
BLOCK = 1_000_000
"""Numbers in one array at most."""
Sampler = Callable[[slice], tuple[Floats, Floats]]
Reading = Callable[[Sampler, Sampler, int], "Curve | None"]


@dataclass(frozen=True)
class Curve:
    """A difference of two fronts along the interval where both have a value; rows are replicates, the first the sample.

    For the headline: log L0 of the baseline less log L0 of gated, along fidelity.
    """

    low: float
    high: float
    at: Floats  # [places]
    first: Floats  # [replicates, places] read off the one front
    second: Floats

    @property
    def difference(self) -> Floats:
        return self.first - self.second

    @property
    def estimate(self) -> float:
        return float(np.median(self.difference[0]))

    def deviations(self) -> Floats | None:
        """[replicates that count] their medians less the estimate's over the same places; None: too few count."""
        replicated = self.difference[1:]
        covered = np.isfinite(replicated)
        counted = covered.mean(1) >= LEAST_COVERED
        if not len(counted) or counted.mean() < 1 - MOST_REFUSED:
            return None
        sample = np.where(covered, self.difference[0], np.nan)
        return row_medians(replicated[counted]) - row_medians(sample[counted])


def row_medians(values: Floats) -> Floats:
    """Median of each row over what is not NaN; a row must have something."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(1)
    rows = np.arange(len(values))
    medians: Floats = (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2
    return medians


def l0_ratio(baseline: Sampler, gated: Sampler, rows: int, within: tuple[float, float] | None = None) -> Curve | None:
    """The log ratio of L0 along fidelity; None where the fronts of the sample do not overlap.

    Args:
        baseline, gated: for some of the rows (the first is the sample, the others replicates) log L0 and fidelity of
            the arm's points, [rows, points] each.
        rows: how many rows there are.
        within: an interval of fidelity that the overlap is cut to.
    """
    return _along(_by_fidelity(baseline), _by_fidelity(gated), rows, within)


def fidelity_gain(baseline: Sampler, gated: Sampler, rows: int) -> Curve | None:
    """Fidelity of gated less that of the baseline along log L0; None where the fronts' L0 do not overlap."""
    return _along(_by_l0(gated), _by_l0(baseline), rows)


def _by_fidelity(arm: Sampler) -> Sampler:
    return lambda rows: fronts(*arm(rows))[::-1]


def _by_l0(arm: Sampler) -> Sampler:
    return lambda rows: fronts(*arm(rows))


def _along(first: Sampler, second: Sampler, rows: int, within: tuple[float, float] | None = None) -> Curve | None:
    """The second coordinates of two fronts along the first, block by block so that memory stays small."""
    sample = slice(0, 1)
    known, other = first(sample)[0], second(sample)[0]
    interval = overlap(known, other)
    if interval is None:
        return None
    low, high = interval if within is None else (max(interval[0], within[0]), min(interval[1], within[1]))
    if low >= high:
        return None
    at = low + (high - low) * (np.arange(GRID) + 0.5) / GRID
    step = max(1, BLOCK // max(GRID, known.shape[1], other.shape[1]))
    blocks = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    values = [np.concatenate([read_off(*arm(block), at) for block in blocks]) for arm in (first, second)]
    return Curve(low, high, at, *values)
