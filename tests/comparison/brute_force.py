"""The comparison a second time, by definition: points, fronts, differences. Lists and loops, from docs/statistics.md.

Nothing here comes from `pipeline.comparison`; where the two disagree, the page says which of them is wrong.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise

from tests.comparison.brute_records import Run

Point = tuple[float, float]
LOG_L0, FIDELITY = 0, 1
"""The two coordinates of a point."""
PLACES = 200


def points(arm: Sequence[Sequence[Run]], measured: Callable[[Run], Point]) -> list[Point]:
    """The mean over the runs of each point, which differ by their seed alone; a point without a run is left out."""
    found = []
    for runs in arm:
        values = [measured(run) for run in runs]
        if values:
            found.append((statistics.fmean(x for x, _ in values), statistics.fmean(y for _, y in values)))
    return found


def dominates(first: Point, second: Point) -> bool:
    """As sparse and as faithful, and better in one of the two."""
    return first != second and first[LOG_L0] <= second[LOG_L0] and first[FIDELITY] >= second[FIDELITY]


def front(found: Sequence[Point]) -> list[Point]:
    """The points that no other dominates, from sparse to dense, equal ones once."""
    known = {point for point in found if all(map(math.isfinite, point))}
    return sorted(point for point in known if not any(dominates(other, point) for other in known))


def read(line: Sequence[Point], along: int, place: float) -> float:
    """The other coordinate of a front where the one is `place`; NaN outside the front."""
    other = 1 - along
    for point in line:
        if point[along] == place:
            return point[other]
    for first, second in pairwise(line):
        if first[along] < place < second[along]:
            share = (place - first[along]) / (second[along] - first[along])
            return first[other] + share * (second[other] - first[other])
    return math.nan


def read_on(line: Sequence[Point], sample: Sequence[Point], along: int, place: float) -> float:
    """As `read`, but beyond its ends the front goes straight on, with the slope of the sample's front at that end."""
    if not line:
        return math.nan
    inside = read(line, along, place)
    if not math.isnan(inside):
        return inside
    before = place < line[0][along]
    end, slope = (line[0], end_slope(sample[:2], along)) if before else (line[-1], end_slope(sample[-2:], along))
    return end[1 - along] + slope * (place - end[along])


def end_slope(segment: Sequence[Point], along: int) -> float:
    """How fast the other coordinate changes on a segment; not at all on a single point."""
    if len(segment) < 2:
        return 0.0
    first, second = segment
    return (second[1 - along] - first[1 - along]) / (second[along] - first[along])


def shared(first: Sequence[Point], second: Sequence[Point], along: int) -> tuple[float, float] | None:
    """The interval on which both fronts have a value; it may be a single one."""
    if not first or not second:
        return None
    low, high = max(first[0][along], second[0][along]), min(first[-1][along], second[-1][along])
    return (low, high) if low <= high else None


def places(low: float, high: float) -> list[float]:
    """The middles of equal cells."""
    return [low + (high - low) * (number + 0.5) / PLACES for number in range(PLACES)]


Reader = Callable[[Sequence[Point], int, float], float]


def differences(
    reference: Sequence[Point], candidate: Sequence[Point], along: int, at: Sequence[float],
    readers: tuple[Reader, Reader] = (read, read),
) -> list[float]:  # fmt: skip
    """At each place how much better the candidate is: log L0 less, or fidelity more.

    Args:
        along: FIDELITY for the log ratio of L0, LOG_L0 for the difference of fidelity.
        readers: for the reference and for the candidate.
    """
    sign = 1 if along == FIDELITY else -1
    values = []
    for place in at:
        values.append(sign * (readers[0](reference, along, place) - readers[1](candidate, along, place)))
    return values


def headline(values: Sequence[float]) -> float:
    return statistics.median(values)


def outright(reference: Sequence[Point], candidate: Sequence[Point]) -> Point | None:
    """The two gaps, in log L0 and in fidelity, where one front is better in both throughout; above 0: the candidate."""
    if not reference or not candidate:
        return None
    if shared(reference, candidate, LOG_L0) or shared(reference, candidate, FIDELITY):
        return None
    for sign in (1, -1):
        gaps = facing(reference, candidate, sign)
        if sign * gaps[LOG_L0] > 0 and sign * gaps[FIDELITY] > 0:
            return gaps
    return None


def facing(reference: Sequence[Point], candidate: Sequence[Point], sign: int) -> Point:
    """The gaps between the ends that face each other where the candidate (1) or the reference (-1) is better."""
    better, worse = (candidate, reference) if sign > 0 else (reference, candidate)
    sparser = min(x for x, _ in worse) - max(x for x, _ in better)
    more_faithful = min(y for _, y in better) - max(y for _, y in worse)
    return sign * sparser, sign * more_faithful
