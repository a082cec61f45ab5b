"""Words of a band, case by case, and that its level and its ends say the same."""

import math

import numpy as np
import pytest

from pipeline.comparison.band import Band
from pipeline.comparison.direction import direction
from pipeline.comparison.t_distribution import t_quantile, two_tails
from tests.seeds import over_seeds

FREEDOM = 4.0
STUDENT = np.array([t_quantile(0.5 + share / 2, FREEDOM) for share in (np.arange(20_000) + 0.5) / 20_000])
"""The deviations of a single place."""
AT = np.array([0.0, 1.0, 2.0])
ERRORS = np.array([1.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("difference", "word", "multiple"),
    [
        ([3.0, 4.0, 5.0], "above", 2.0), ([-3.0, -4.0, -5.0], "below", 2.0), ([3.0, 1.0, -4.0], "crossing", 3.0),
        ([4.0, -1.0, 4.0], "crossing", 0.5),
    ],
)  # fmt: skip
def test_words_and_their_levels(difference: list[float], word: str, multiple: float) -> None:
    """One place counts: the one where the word is least sure, in standard errors."""
    found = direction(np.array(difference), AT, Band(ERRORS, FREEDOM, STUDENT))
    assert found.word == word and found.p == pytest.approx(two_tails(multiple, FREEDOM), rel=3e-3)


@pytest.mark.parametrize("difference", [[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [-1.0, -2.0, 0.0]])
def test_a_place_without_a_difference_decides_nothing(difference: list[float]) -> None:
    found = direction(np.array(difference), AT, Band(ERRORS, FREEDOM, STUDENT))
    assert (found.word, found.p) == ("undecided", 1.0)


def test_without_noise_there_is_a_leaning_and_no_level() -> None:
    found = direction(np.array([1.0, 2.0, 3.0]), AT, None)
    assert found.word == "above" and math.isnan(found.p)
    assert math.isnan(direction(np.zeros(3), AT, None).p)


def test_where_the_fronts_cross() -> None:
    found = direction(np.array([1.0, -1.0, -2.0]), AT, None)
    assert found.word == "crossing" and found.changes == (0.5,)
    twice = direction(np.array([1.0, -1.0, 2.0]), AT, None)
    assert twice.changes == (0.5, 1.5)
    assert direction(np.array([1.0, 1.0, 2.0]), AT, None).changes == ()


@over_seeds(20)
def test_the_level_says_what_the_ends_of_the_band_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    band = Band.of(np.cumsum(rng.normal(size=(500, 30)), 1), 8.0, None)
    difference = rng.normal(0, 10) + np.linspace(0, rng.normal(0, 60), 30)
    low, high = difference - band.half_width(), difference + band.half_width()
    says = {"above": (low > 0).all(), "below": (high < 0).all(), "crossing": (low > 0).any() and (high < 0).any()}
    found = direction(difference, np.arange(30.0), band)
    assert abs(found.p - 0.05) < 0.003 or (found.p < 0.05) == any(says.values())
    assert found.p >= 0.05 or says[found.word]
