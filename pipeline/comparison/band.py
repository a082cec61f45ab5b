"""A band that holds a whole curve at once: the same multiple of the standard error at every place.

The multiple is the 95 % quantile of the largest deviation along the curve over draws of documents and of seeds, divided
by the root of chi-squared over its degrees of freedom, so that at a single place it is Student's t.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from pipeline.comparison.bootstrap import LEVEL
from pipeline.comparison.noise import added
from pipeline.comparison.student import t_quantile, two_tails
from pipeline.curves import Floats

SEED = 20240425
DRAWS = 2000
"""Of seeds' noise where there are no draws of documents."""
POOLED = 0.5
"""Weight of the mean along the curve in the variance over seeds at a place: few seeds tell little of a single place."""
TINY = 1e-15
SMALLEST = 1e-12
"""Standard error below which a difference is exact: runs that are copies of each other."""


@dataclass(frozen=True)
class Band:
    """Of a curve: its standard errors, and what turns a multiple of them into a level."""

    errors: Floats  # [places]
    freedom: float
    together: float  # of how many independent places the largest deviation behaves

    def p(self, multiple: float) -> float:
        """The level of the band whose half width is so many standard errors."""
        return -math.expm1(self.together * math.log1p(-min(two_tails(multiple, self.freedom), 1 - TINY)))

    def half_width(self) -> Floats:
        """[places] at 95 %."""
        single = -math.expm1(math.log(LEVEL) / self.together)
        half: Floats = t_quantile(1 - single / 2, self.freedom) * self.errors
        return half

    @classmethod
    def of_gaps(cls, by_text: Floats, freedom: float, without_each: Floats | None) -> "Band":
        """As `of`, for numbers of different units: each is measured by its own standard deviation, none is pooled."""
        variance = by_text.var(0) + (0.0 if without_each is None else (_shifts(without_each) ** 2).sum(0))
        units = np.sqrt(np.where(variance > 0, variance, 1.0))
        found = cls.of(by_text / units, freedom, None if without_each is None else without_each / units, 0.0)
        assert found is not None
        return replace(found, errors=found.errors * units)

    @classmethod
    def of(
        cls, by_text: Floats | None, freedom: float, without_each: Floats | None, weight: float = POOLED
    ) -> "Band | None":
        """The band, or None where neither noise was measured.

        Args:
            by_text: [replicates, places] deviations over draws of documents, widened.
            freedom: degrees of freedom of the documents.
            without_each: [seeds, places] the curve without each seed in turn.
            weight: of the mean along the curve in the variance over seeds at a place.
        """
        if by_text is None and without_each is None:
            return None
        text = np.zeros(1) if by_text is None else by_text.var(0)
        shifts = np.zeros((1, 1)) if without_each is None else _shifts(without_each)
        training = (shifts**2).sum(0)
        pooled = (1 - weight) * training + weight * training.mean()
        errors = np.sqrt(np.broadcast_to(text + pooled, np.broadcast_shapes(text.shape, pooled.shape)))
        errors = np.maximum(errors, SMALLEST)
        parts = [] if by_text is None else [(math.sqrt(float(text.mean())), freedom)]
        parts += [] if without_each is None else [(math.sqrt(float(training.mean())), len(without_each) - 1.0)]
        whole = added(parts)[1]
        largest = _largest(by_text, shifts, training, pooled, errors, whole)
        multiple = float(np.quantile(largest, LEVEL))
        single = min(max(two_tails(multiple, whole), TINY), 1 - TINY)
        together = max(1.0, math.log(LEVEL) / math.log1p(-single))
        return cls(errors, whole, together)


def _shifts(without_each: Floats) -> Floats:
    """[seeds, places] what each seed shifts the curve by, so that the squares add to the jackknife's variance."""
    count = len(without_each)
    shifts: Floats = math.sqrt((count - 1) / count) * (without_each - without_each.mean(0))
    return shifts


def _largest(
    by_text: Floats | None, shifts: Floats, training: Floats, pooled: Floats, errors: Floats, freedom: float
) -> Floats:
    """[draws] the largest deviation along the curve, in standard errors that are themselves estimates."""
    rng = np.random.default_rng(SEED)
    draws = DRAWS if by_text is None else len(by_text)
    scaled = shifts * np.sqrt(pooled / np.where(training > 0, training, 1.0))
    # a place where the seeds agree by chance moves with all of them
    drawn = rng.normal(size=(draws, len(scaled))) @ scaled
    deviations = drawn if by_text is None else by_text - by_text.mean(0) + drawn
    scale = np.sqrt(rng.chisquare(freedom, draws) / freedom)
    largest: Floats = (np.abs(deviations) / errors).max(1) / scale
    return largest
