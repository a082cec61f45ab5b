"""Noise of text and of training, and both together: closed forms, and what printed tables give."""

import math

import numpy as np
import pytest

from pipeline.comparison.bootstrap import NORMAL_QUANTILE
from pipeline.comparison.noise import KINDS, Noise, Text, Training, added
from pipeline.comparison.t_distribution import t_quantile

T2, T4, T8 = 4.302653, 2.776445, 2.306004
"""97.5 % quantiles of Student's t, of the tables."""


def test_each_end_of_the_text_has_its_own_quantile() -> None:
    """Evenly spread from -1 to 3: the 2.5 % quantile lies at -0.9, the 97.5 % quantile at 2.9."""
    text = Text.of(np.linspace(-1, 3, 401), 7)
    assert (text.low, text.high) == pytest.approx((0.9 / NORMAL_QUANTILE, 2.9 / NORMAL_QUANTILE))
    assert text.freedom == 7
    assert Text.of(np.linspace(1, 3, 11), 7).low == 0.0


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.array([1.0, 4.0, 2.0, 9.0, 5.0])
    training = Training.of(np.array([np.delete(values, number).mean() for number in range(5)]))
    assert training.error == pytest.approx(values.std(ddof=1) / math.sqrt(5))
    assert (training.seeds, training.freedom) == (5, 4)


def test_satterthwaite() -> None:
    """Two parts alike have the sum of their degrees of freedom; a part that is nothing leaves the other's."""
    assert added([(2.0, 4), (2.0, 4)]) == pytest.approx((math.sqrt(8), 8))
    assert added([(3.0, 4), (4.0, 2)]) == pytest.approx((5.0, 625 / (81 / 4 + 256 / 2)))
    assert added([(3.0, 4), (0.0, 2)]) == pytest.approx((3.0, 4))
    assert added([(0.0, 4), (0.0, 2)]) == (0.0, 4)


def test_intervals_of_each_kind() -> None:
    noise = Noise(Text(1.0, 2.0, 4), Training(2.0, 3))
    assert noise.interval(10.0, "sequences") == pytest.approx((10 - T4, 10 + 2 * T4), abs=1e-5)
    assert noise.interval(10.0, "seeds") == pytest.approx((10 - 2 * T2, 10 + 2 * T2), abs=1e-5)
    assert noise.repeat(10.0) == pytest.approx((10 - math.sqrt(8) * T2, 10 + math.sqrt(8) * T2), abs=1e-5)
    alike = Noise(Text(2.0, 2.0, 4), Training(2.0, 5))
    assert alike.interval(0.0, "both") == pytest.approx((-math.sqrt(8) * T8, math.sqrt(8) * T8), abs=1e-5)


def test_both_together_keep_the_texts_ends_apart() -> None:
    low, high = Noise(Text(0.0, 2.0, 4), Training(2.0, 5)).interval(0.0, "both")
    assert (low, high) == pytest.approx((-2 * T4, math.sqrt(8) * T8), abs=1e-5)


def test_what_was_not_measured_has_no_interval() -> None:
    text, training = Text(1.0, 1.0, 4), Training(1.0, 3)
    assert KINDS == ("sequences", "seeds", "both")
    for noise, measured in (
        (Noise(), [False, False, False]), (Noise(text), [True, False, False]),
        (Noise(None, training), [False, True, False]), (Noise(text, training), [True, True, True]),
    ):  # fmt: skip
        assert [math.isfinite(noise.interval(0.0, kind)[0]) for kind in KINDS] == measured
    assert math.isnan(Noise(text).repeat(0.0)[0])


@pytest.mark.parametrize("noise", [Noise(Text(1.0, 2.0, 4)), Noise(Text(1.0, 2.0, 4), Training(0.7, 5))])
def test_a_level_is_where_the_interval_of_it_ends(noise: Noise) -> None:
    low, high = noise.interval(3.0, "both" if noise.training else "sequences")
    assert noise.p_above(3.0, low) == pytest.approx(0.05) == noise.p_below(3.0, high)
    assert noise.p_above(3.0, low - 0.1) < 0.05 < noise.p_above(3.0, low + 0.1)
    assert noise.p_within(3.0, low, high + 5) == pytest.approx(0.05) == noise.p_within(3.0, low - 5, high)


def test_levels_at_the_edges() -> None:
    noise = Noise(Text(1.0, 1.0, 4))
    assert noise.p_above(1.0, 1.0) == noise.p_above(1.0, 2.0) == noise.p_within(3.0, 0.0, 2.0) == 1.0
    assert math.isnan(Noise().p_above(1.0, 0.0)) and math.isnan(Noise(None, Training(1.0, 3)).p_below(0.0, 1.0))
    assert math.isnan(noise.p_above(math.nan, 0.0)) and math.isnan(noise.p_within(math.nan, 0.0, 1.0))
    assert Noise(Text(0.0, 0.0, 4)).p_above(1.0, 0.0) == 0.0


def test_both_is_no_narrower_than_either_part() -> None:
    """Satterthwaite's degrees of freedom alone would have it narrower than three seeds' own interval."""
    noise = Noise(Text(0.8, 0.8, 60.0), Training(1.0, 3))
    low, high = noise.interval(0.0, "both")
    assert (low, high) == noise.interval(0.0, "seeds") and high == pytest.approx(4.3027, abs=1e-4)
    error, freedom = added([(0.8, 60.0), (1.0, 2.0)])
    assert error * t_quantile(0.975, freedom) < high
    assert noise.p_above(high, 0.0) == pytest.approx(0.05, abs=1e-4)
