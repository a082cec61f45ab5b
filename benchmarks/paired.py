"""Differences between two trainings of each seed: their mean over seeds with an interval, and when it is a fault."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.comparison.t_distribution import t_quantile


@dataclass(frozen=True)
class Difference:
    """The mean over seeds, and half the width of Student's interval about it."""

    mean: float
    half: float

    @classmethod
    def of(cls, differences: Sequence[float], level: float) -> "Difference":
        """Of one difference a seed, two seeds or more; `level` is the chance that the interval holds the truth."""
        count = len(differences)
        error = statistics.stdev(differences) / math.sqrt(count)
        return cls(statistics.fmean(differences), t_quantile(0.5 + level / 2, count - 1) * error)

    @property
    def reach(self) -> float:
        """The end of the interval that is farther from 0."""
        return abs(self.mean) + self.half


def over_allowed(measured: Difference, harmless: Difference) -> float:
    """Above 1 for a fault: the interval leaves out 0, and reaches farther than that of a harmless difference does."""
    return min(_ratio(abs(measured.mean), measured.half), _ratio(measured.reach, harmless.reach))


def each_level(together: float, intervals: int) -> float:
    """The level of each of so many intervals that are all to hold the truth at once (Bonferroni)."""
    return 1 - (1 - together) / intervals


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf
