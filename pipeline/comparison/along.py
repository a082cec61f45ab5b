"""Two fronts read along what they share: what is fixed by the estimate, so that every replicate answers it.

The interval is where the fronts of the sample both have a value. A replicate's front may end inside it; it goes on
straight then, with the slope that the sample's own front has at that end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.analysis.curves import Floats, fronts, interpolate, overlap

GRID = 200
"""Places along the interval, in the middle of equal cells."""
BLOCK = 1_000_000
"""Numbers in one array at most."""
Sampler = Callable[[slice], tuple[Floats, Floats]]
"""For some of the rows (the first is the sample, the others replicates): log L0 and fidelity of an arm's points."""
RATIO, SAVED, OUTRIGHT = "ratio", "saved", "outright"


@dataclass(frozen=True)
class Reading:
    """How two fronts are read: along which coordinate, where, and with which slopes beyond each front's ends."""

    kind: str  # RATIO: log L0 along fidelity; SAVED: fidelity along log L0
    low: float
    high: float
    slopes: tuple[tuple[float, float], tuple[float, float]]  # of the reference's front, and the candidate's

    @property
    def at(self) -> Floats:
        return self.low + (self.high - self.low) * (np.arange(GRID) + 0.5) / GRID

    def values(self, reference: Sampler, candidate: Sampler, rows: int) -> tuple[Floats, Floats]:
        """[rows, places] the other coordinate of both fronts."""
        reference_values, candidate_values = (
            np.concatenate([self._read(arm, slopes, block) for block in blocks(rows, GRID)])
            for arm, slopes in zip((reference, candidate), self.slopes, strict=True)
        )
        return reference_values, candidate_values

    def difference(self, reference: Sampler, candidate: Sampler, rows: int) -> Floats:
        """[rows, places] above 0 where the candidate is better."""
        first, second = self.values(reference, candidate, rows)
        return first - second if self.kind == RATIO else second - first

    def _read(self, arm: Sampler, slopes: tuple[float, float], rows: slice) -> Floats:
        return interpolate(*_turned(self.kind, *fronts(*arm(rows))), self.at, slopes)


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows, so that one array of them with so many columns stays small."""
    step = max(1, BLOCK // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


@dataclass(frozen=True)
class Gaps:
    """How far two fronts are apart in log L0 and fidelity, where one lies wholly on the better side of the other."""

    better: int  # 1: the candidate lies on the better side; -1: the reference
    kind: str = OUTRIGHT
    low: float = 0.0
    high: float = 1.0

    @property
    def at(self) -> Floats:
        return np.array([0.0, 1.0])

    def values(self, reference: Sampler, candidate: Sampler, rows: int) -> tuple[Floats, Floats]:
        """[rows, 2] nothing, and by how much the candidate is sparser and more faithful."""
        gaps = self.difference(reference, candidate, rows)
        return np.zeros_like(gaps), gaps

    def difference(self, reference: Sampler, candidate: Sampler, rows: int) -> Floats:
        """[rows, 2] above 0 where the candidate is better."""
        return np.concatenate([_gaps(reference, candidate, block, self.better) for block in blocks(rows, GRID)])


def _gaps(reference: Sampler, candidate: Sampler, rows: slice, better: int) -> Floats:
    """Between the ends that face each other."""
    (x, y), (other_x, other_y) = (fronts(*arm(rows)) for arm in (reference, candidate))
    low, high = (0, -1) if better > 0 else (-1, 0)
    return np.stack([x[:, low] - other_x[:, high], other_y[:, low] - y[:, high]], axis=1)


def gaps(reference: Sampler, candidate: Sampler) -> Gaps | None:
    """None where neither front, of the sample, lies wholly on the better side of the other."""
    for better in (1, -1):
        if (better * _gaps(reference, candidate, slice(0, 1), better) > 0).all():
            return Gaps(better)
    return None


def reading(
    kind: str, reference: Sampler, candidate: Sampler, within: tuple[float, float] | None = None
) -> Reading | None:
    """Where the fronts of the sample, the first row, both have a value; None where they share none.

    Args:
        within: an interval of that coordinate which the shared one is cut to.
    """
    nodes = [_turned(kind, *fronts(*arm(slice(0, 1)))) for arm in (reference, candidate)]
    interval = overlap(nodes[0][0], nodes[1][0])
    if interval is None:
        return None
    low, high = interval if within is None else (max(interval[0], within[0]), min(interval[1], within[1]))
    if low > high:
        return None
    first, second = (end_slopes(known[0], wanted[0]) for known, wanted in nodes)
    return Reading(kind, low, high, (first, second))


def _turned(kind: str, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The coordinate that is read along, then the one that is read off."""
    return (y, x) if kind == RATIO else (x, y)


def end_slopes(known: Floats, wanted: Floats) -> tuple[float, float]:
    """The slopes of a front's first and last segment: [points] of each coordinate; 0 where it is one point."""
    _, kept = np.unique(known, return_index=True)
    if len(kept) < 2:
        return 0.0, 0.0
    slopes = np.diff(wanted[kept]) / np.diff(known[kept])
    return float(slopes[0]), float(slopes[-1])
