"""Which of two fronts is better, along all that they share: above, below, crossing, or undecided."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.analysis.curves import Floats
from pipeline.comparison.band import Band

ABOVE, BELOW, CROSSING, UNDECIDED, NOT_COMPARED = "above", "below", "crossing", "undecided", "not compared"


@dataclass(frozen=True)
class Direction:
    """What a band says of a candidate."""

    word: str  # ABOVE, BELOW or CROSSING: the one that its p-value is of; UNDECIDED where the estimate is 0 throughout
    p: float  # the smallest level at which the band says the word; NaN where no noise was measured
    changes: tuple[float, ...] = ()  # where the estimate's sign changes, along the coordinate that is read along


def direction(difference: Floats, at: Floats, band: Band | None) -> Direction:
    """The word that the band says first as its level rises.

    Args:
        difference: [places] above 0 where the candidate is better.
        at: [places] along what.
    """
    errors = np.ones_like(difference) if band is None else band.errors
    multiples = difference / errors
    above, below = float(multiples.min()), float(-multiples.max())
    sizes = {ABOVE: above, BELOW: below, CROSSING: min(-above, -below)}
    word = max(sizes, key=lambda name: sizes[name])
    if sizes[word] <= 0:
        return Direction(UNDECIDED, math.nan if band is None else 1.0)
    return Direction(word, math.nan if band is None else band.p(sizes[word]), _changes(difference, at))


def _changes(difference: Floats, at: Floats) -> tuple[float, ...]:
    """Half way between neighbouring places of opposite sign."""
    signs = np.sign(difference)
    found = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    return tuple(float((at[place] + at[place + 1]) / 2) for place in found)
