"""The simultaneous band: what it must be where that is known."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from pipeline.comparison.band import SMALLEST, Band
from pipeline.comparison.t_distribution import t_quantile

DRAWS = 20_000


def text(places: int, alike: bool = False, draws: int = DRAWS) -> np.ndarray:
    """[draws, places] normal deviations with standard error 0.3, independent of each other or all alike."""
    rng = np.random.default_rng(0)
    return 0.3 * (np.repeat(rng.normal(size=(draws, 1)), places, 1) if alike else rng.normal(size=(draws, places)))


@pytest.mark.parametrize("freedom", [2.0, 7.0, 40.0])
@pytest.mark.parametrize("places", [1, 50])
def test_at_one_place_and_at_many_that_move_together_it_is_student_s(freedom: float, places: int) -> None:
    band = Band.of(text(places, alike=True), freedom, None)
    np.testing.assert_allclose(band.half_width(), 0.3 * t_quantile(0.975, freedom), rtol=0.05)
    assert band.p(t_quantile(0.975, freedom)) == pytest.approx(0.05, abs=0.005)


def test_at_independent_places_it_is_sidaks() -> None:
    band = Band.of(text(10), 1e7, None)
    for level, tolerance in ((0.2, 0.05), (0.05, 0.1), (0.002, 0.4), (1e-4, 0.5)):  # counted, then by the tail
        multiple = NormalDist().inv_cdf((1 + (1 - level) ** (1 / 10)) / 2)
        assert band.p(multiple) == pytest.approx(level, rel=tolerance)
    sidak = NormalDist().inv_cdf((1 + 0.95 ** (1 / 10)) / 2)
    np.testing.assert_allclose(band.half_width(), 0.3 * sidak, rtol=0.04)


def test_a_level_is_where_the_band_of_it_ends() -> None:
    rng = np.random.default_rng(1)
    for seeds in (None, rng.normal(size=(4, 20))):
        band = Band.of(np.cumsum(text(20, draws=2000), axis=1), 6.0, seeds)
        np.testing.assert_allclose([band.p(multiple) for multiple in band.half_width() / band.errors], 0.05, rtol=0.02)
        levels = [band.p(multiple) for multiple in np.linspace(0, 30, 300)]
        assert levels == sorted(levels, reverse=True) and levels[0] == 1.0 and band.p(1e9) < 1e-6


def test_standard_errors_of_both_noises() -> None:
    """The text's variance at each place, and half and half the seeds' there and their mean along the curve."""
    values = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 8.0], [0.0, 4.0]])
    left_out = (values.sum(0) - values) / 3
    band = Band.of(text(2), 9.0, left_out)
    variance = values.var(0, ddof=1) / 4  # of the mean over seeds
    by_text = text(2).var(0)
    np.testing.assert_allclose(band.errors**2, by_text + variance / 2 + variance.mean() / 2)
    parts = by_text.mean() ** 2 / 9 + variance.mean() ** 2 / 3
    assert band.freedom == pytest.approx((by_text.mean() + variance.mean()) ** 2 / parts)


def test_of_seeds_alone_that_move_all_places_alike_it_is_student_s() -> None:
    values = np.random.default_rng(3).normal(size=(5, 1))
    left_out = np.repeat((values.sum() - values) / 4, 30, 1)
    band = Band.of(np.zeros((DRAWS, 30)), 100.0, left_out)
    assert band.freedom == pytest.approx(4)
    error = values.std(ddof=1) / math.sqrt(5)
    np.testing.assert_allclose(band.half_width(), error * t_quantile(0.975, 4), rtol=0.05)


def test_a_place_where_seeds_agree_by_chance_is_not_taken_for_exact() -> None:
    left_out = np.random.default_rng(4).normal(size=(3, 40))
    left_out[:, 7] = 0.2
    errors = Band.of(np.zeros((100, 40)), 9.0, left_out).errors
    assert errors[7] == pytest.approx(errors.min()) and errors[7] > 0.5 * np.median(errors)


def test_copies_of_each_other_are_exact() -> None:
    band = Band.of(np.zeros((200, 3)), 9.0, None)
    assert (band.errors == SMALLEST).all() and band.p(0.001 / SMALLEST) == pytest.approx(0, abs=1e-12)
