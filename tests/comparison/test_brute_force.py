"""The brute force itself, against what can be worked out on paper."""

import math

import numpy as np
import pytest

from tests.comparison import brute_band, brute_noise
from tests.comparison.brute_force import (
    FIDELITY,
    LOG_L0,
    PLACES,
    differences,
    front,
    headline,
    outright,
    places,
    read,
    read_on,
    shared,
)  # fmt: skip

LINE = [(0.0, 0.0), (1.0, 2.0), (3.0, 3.0)]


def test_a_front_holds_what_nothing_dominates() -> None:
    dominated = [(1.0, 1.0), (1.0, 2.0), (3.5, 3.0), (math.nan, 9.0), (2.0, -math.inf)]
    assert front([*dominated, *LINE]) == LINE
    assert front([]) == front([(math.nan, 0.0)]) == []


def test_reading_off_and_going_on() -> None:
    assert read(LINE, LOG_L0, 2.0) == 2.5 and read(LINE, FIDELITY, 1.0) == 0.5 and read(LINE, FIDELITY, 3.0) == 3.0
    assert math.isnan(read(LINE, FIDELITY, 3.1)) and math.isnan(read([], FIDELITY, 0.0))
    shorter = [(0.5, 1.0), (0.6, 2.0)]
    assert read_on(shorter, LINE, FIDELITY, 0.0) == pytest.approx(0.0)  # slope 1/2 at the lower end
    assert read_on(shorter, LINE, FIDELITY, 3.0) == pytest.approx(2.6)  # slope 2 at the upper
    assert read_on(shorter, LINE, LOG_L0, 1.0) == pytest.approx(2.2)
    assert read_on([(0.5, 1.0)], [(0.0, 0.0)], FIDELITY, 7.0) == 0.5


def test_what_is_shared() -> None:
    assert shared(LINE, [(5.0, 3.0), (6.0, 4.0)], FIDELITY) == (3.0, 3.0)
    assert shared(LINE, [(5.0, 3.1)], FIDELITY) is None and shared(LINE, [], FIDELITY) is None
    assert set(places(3.0, 3.0)) == {3.0} and places(0.0, 1.0)[0] == 0.5 / PLACES


def test_an_arm_that_needs_twice_as_many() -> None:
    twice = [(x + math.log(2), y) for x, y in LINE]
    along = differences(twice, LINE, FIDELITY, places(0.0, 3.0))
    assert headline(along) == pytest.approx(math.log(2)) and len(along) == PLACES
    assert min(differences(twice, LINE, LOG_L0, places(0.7, 3.0))) > 0


def test_outright() -> None:
    better, worse = [(0.0, 2.0), (1.0, 3.0)], [(1.5, 0.0), (2.0, 1.0)]
    assert outright(worse, better) == (0.5, 1.0) and outright(better, worse) == (-0.5, -1.0)
    assert outright(LINE, better) is None and outright(LINE, []) is None
    assert outright([(5.0, 9.0)], LINE) is None  # more faithful, but less sparse


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.array([1.0, 4.0, 2.0, 9.0, 5.0])
    left_out = [float(np.delete(values, number).mean()) for number in range(5)]
    assert brute_noise.jackknife_error(left_out) == pytest.approx(values.std(ddof=1) / math.sqrt(5))


def test_degrees_of_freedom() -> None:
    assert brute_noise.satterthwaite([(2.0, 7.0), (2.0, 7.0)]) == pytest.approx(14)
    assert brute_noise.satterthwaite([(2.0, 7.0), (0.0, 3.0)]) == pytest.approx(7)
    assert brute_noise.effective_documents([3.0] * 8) == pytest.approx(8)
    assert brute_noise.effective_documents([1.0, 0.0, 0.0]) == pytest.approx(1)


def test_one_part_that_is_nothing_leaves_the_other() -> None:
    assert brute_noise.half([(0.0, 6.0), (0.1, 4.0)]) == pytest.approx(0.1 * 2.7764451, rel=1e-6)
    assert brute_noise.half([(0.1, 4.0)]) == brute_noise.half([(0.1, 4.0), (0.0, 6.0)])
    assert brute_noise.repeat_half(0.1, 5) == pytest.approx(0.1 * math.sqrt(2) * 2.7764451, rel=1e-6)


def test_holm() -> None:
    """The textbook's: 0.01 <= 0.05 / 4, 0.015 <= 0.05 / 3, but 0.03 > 0.05 / 2."""
    assert brute_noise.holm([0.03, 0.01, 0.04, 0.015], 0.05) == [False, True, False, True]
    assert brute_noise.holm([], 0.05) == []


def test_a_band_at_a_single_place_is_student_s() -> None:
    rng = np.random.default_rng(0)
    largest = brute_band.largest_deviations([[0.0]], [[0.3], [0.4]], [0.5], 4.0, 40_000, rng)
    assert np.quantile(largest, 0.95) == pytest.approx(2.776, rel=0.03)
    assert brute_band.p_value(2.776, largest) == pytest.approx(0.05, abs=0.004)


def test_words_of_a_band() -> None:
    assert brute_band.needed([1.0, 3.0], [0.5, 1.0]) == {"above": 2.0, "below": -3.0, "crossing": -2.0}
    assert brute_band.needed([1.0, -3.0], [1.0, 1.0])["crossing"] == 1.0
    assert brute_band.p_value(-1.0, [0.0]) == 1.0
