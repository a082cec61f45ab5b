"""A band that holds a whole curve at once: the same multiple of the standard error at every place.

The multiple is the 95 % quantile of the largest deviation along the curve over draws of documents and of seeds, divided
by the root of chi-squared over its degrees of freedom, so that at a single place it is Student's t.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from pipeline.analysis.curves import Floats
from pipeline.comparison.bootstrap import LEVEL
from pipeline.comparison.noise import added
from pipeline.comparison.t_distribution import two_tails

SEED = 20240425
"""Of the draws of seeds' noise."""
POOLED = 0.5
"""Weight of the mean along the curve in the variance over seeds at a place: few seeds tell little of a single place."""
DEEP = 0.99
"""Share of the draws up to which a level is counted."""
TINY = 1e-15
"""How near to 0 and 1 a level may come, for the sake of its logarithm."""
SMALLEST = 1e-12
"""Standard error below which a difference is exact: runs that are copies of each other."""


@dataclass(frozen=True)
class Band:
    """Of a curve: its standard errors, and what turns a multiple of them into a level."""

    errors: Floats  # [places]
    freedom: float
    largest: Floats  # [draws] the largest deviation along the curve, in standard errors; sorted

    @property
    def multiple(self) -> float:
        """Standard errors to either side, at 95 %."""
        return float(np.quantile(self.largest, LEVEL))

    def half_width(self) -> Floats:
        """[places] at 95 %."""
        half: Floats = self.multiple * self.errors
        return half

    def p(self, multiple: float) -> float:
        """The level of the band whose half width is so many standard errors.

        The share of draws that leave it, as far as there are enough; beyond that the tail of Student's t, raised to the
        power that fits the last of them.
        """
        draws = len(self.largest)
        beyond = draws - int(np.searchsorted(self.largest, multiple))
        if beyond + 1 >= (1 - DEEP) * (draws + 1):
            return (beyond + 1) / (draws + 1)
        return -math.expm1(self._together * self._log_inside(multiple))

    @property
    def _together(self) -> float:
        """Of how many independent places the largest deviation behaves, at its DEEP quantile."""
        return max(1.0, math.log(DEEP) / min(self._log_inside(float(np.quantile(self.largest, DEEP))), -TINY))

    def _log_inside(self, multiple: float) -> float:
        return math.log1p(-min(two_tails(multiple, self.freedom), 1 - TINY))

    @classmethod
    def of_gaps(cls, by_text: Floats, freedom: float, without_each: Floats | None) -> "Band":
        """As `of`, for numbers of different units: each is measured by its own standard deviation, none is pooled."""
        variance = by_text.var(0) + (0.0 if without_each is None else (_shifts(without_each) ** 2).sum(0))
        units = np.sqrt(np.where(variance > 0, variance, 1.0))
        found = cls.of(by_text / units, freedom, None if without_each is None else without_each / units, 0.0)
        return replace(found, errors=found.errors * units)

    @classmethod
    def of(cls, by_text: Floats, freedom: float, without_each: Floats | None, weight: float = POOLED) -> "Band":
        """The band of a curve.

        Args:
            by_text: [replicates, places] deviations over draws of documents, widened.
            freedom: degrees of freedom of the documents.
            without_each: [seeds, places] the curve without each seed in turn; None where training was not measured.
            weight: of the mean along the curve in the variance over seeds at a place.
        """
        text = by_text.var(0)
        shifts = np.zeros((1, by_text.shape[1])) if without_each is None else _shifts(without_each)
        training = (shifts**2).sum(0)
        pooled = (1 - weight) * training + weight * training.mean()
        errors = np.maximum(np.sqrt(text + pooled), SMALLEST)
        parts = [(math.sqrt(float(text.mean())), freedom)]
        if without_each is not None:
            parts.append((math.sqrt(float(training.mean())), len(without_each) - 1.0))
        whole = added(parts)[1]
        # a place where the seeds agree by chance moves with all of them
        scaled = shifts * np.sqrt(pooled / np.where(training > 0, training, 1.0))
        return cls(errors, whole, np.sort(_largest(by_text, scaled, errors, whole)))


def _shifts(without_each: Floats) -> Floats:
    """[seeds, places] what each seed shifts the curve by, so that the squares add to the jackknife's variance."""
    count = len(without_each)
    shifts: Floats = math.sqrt((count - 1) / count) * (without_each - without_each.mean(0))
    return shifts


def _largest(by_text: Floats, shifts: Floats, errors: Floats, freedom: float) -> Floats:
    """[draws] the largest deviation along the curve, in standard errors that are themselves estimates."""
    rng, draws = np.random.default_rng(SEED), len(by_text)
    deviations = by_text - by_text.mean(0) + rng.normal(size=(draws, len(shifts))) @ shifts
    scale = np.sqrt(rng.chisquare(freedom, draws) / freedom)
    largest: Floats = (np.abs(deviations) / errors).max(1) / scale
    return largest
