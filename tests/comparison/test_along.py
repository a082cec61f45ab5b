"""Two fronts read along what they share: against the definition on random fronts, and what replicates do that end."""

import math
import statistics

import numpy as np
import pytest

from pipeline.comparison.along import GRID, RATIO, SAVED, Sampler, gaps, reading
from tests.analysis.test_curves import at_by_definition, front_by_definition
from tests.seeds import over_seeds

Points = list[tuple[float, float]]


def sampler(x: np.ndarray, y: np.ndarray) -> Sampler:
    """Log L0 and fidelity of an arm's points; one row, or a row a replicate after the sample."""
    x, y = np.atleast_2d(x).astype(float), np.atleast_2d(y).astype(float)
    return lambda rows: (x[rows], y[rows])


def arm(*points: tuple[float, float]) -> Sampler:
    return sampler(*np.array(points).T)


def ratio_by_definition(arms: list[Points]) -> tuple[float, float, float] | None:
    """Median log ratio of the first over the second, and the ends of what they share."""
    first, second = (front_by_definition(points) for points in arms)
    if not first or not second:
        return None
    low, high = max(first[0][1], second[0][1]), min(first[-1][1], second[-1][1])
    if low > high:
        return None
    places = [low + (high - low) * (n + 0.5) / GRID for n in range(GRID)]
    ratios = [at_by_definition(first, y) - at_by_definition(second, y) for y in places]
    return statistics.median(ratios), low, high


@over_seeds(150)
def test_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms = []
    for _ in range(2):
        count = int(rng.integers(0, 7))
        points = rng.integers(0, 5, (2, count)) / 4.0 if seed % 3 == 0 else rng.normal(0.5, 0.6, (2, count))
        points[rng.random((2, count)) < 0.08] = np.nan
        arms.append(points)
    expected = ratio_by_definition([list(zip(*points, strict=True)) for points in arms])
    reference, candidate = sampler(*arms[0]), sampler(*arms[1])
    found = reading(RATIO, reference, candidate)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        median = float(np.median(found.difference(reference, candidate, 1)))
        assert (median, found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_parallel_fronts_have_their_ratio_everywhere_beyond_0_and_1_too() -> None:
    y, x = np.array([-0.4, 0.3, 1.1, 1.5]), np.array([0.0, 1.0, 1.2, 3.0])
    arms = sampler(x + math.log(2), y), sampler(x, y)
    found = reading(RATIO, *arms)
    assert found is not None and (found.low, found.high) == (-0.4, 1.5)
    np.testing.assert_allclose(np.exp(found.difference(*arms, 1)), 2.0)


def test_the_median_along_straight_lines_is_the_value_in_the_middle() -> None:
    """Log ratio from 1 at fidelity 0 to 3 at fidelity 1; over the shared 0.5 to 1 its median is 2.5."""
    arms = arm((1.0, 0.0), (5.0, 1.0)), arm((1.0, 0.5), (3.0, 1.5))
    found = reading(RATIO, *arms)
    assert found is not None and (found.low, found.high) == (0.5, 1.0)
    assert float(np.median(found.difference(*arms, 1))) == pytest.approx(1 + 4 * 0.75 - (1 + 2 * 0.25))


def test_loss_recovered_by_another_ablation_gives_the_same_ratio() -> None:
    """Both are affine in the cross-entropy: the interval of fidelity changes, the ratio does not."""
    rng = np.random.default_rng(1)
    x, other_x = rng.uniform(0, 3, size=(2, 9))
    ce, other_ce = 2 - 0.5 * x + 0.1 * rng.normal(size=9), 2.2 - 0.5 * other_x + 0.1 * rng.normal(size=9)
    values = []
    for top in (4.0, 3.1):
        arms = sampler(x, (top - ce) / top), sampler(other_x, (top - other_ce) / top)
        found = reading(RATIO, *arms)
        assert found is not None
        values.append((found.low, np.median(found.difference(*arms, 1))))
    (zero_low, zero), (mean_low, mean) = values
    assert zero == pytest.approx(mean) and zero_low != mean_low


def test_what_is_saved_is_the_vertical_difference() -> None:
    x = np.array([0.0, 1.0, 2.0])
    arms = sampler(x, -0.3 + 0.1 * x), sampler(x + 0.5, -0.2 + 0.1 * (x + 0.5))
    found = reading(SAVED, *arms)
    assert found is not None and (found.low, found.high) == (0.5, 2.0)
    np.testing.assert_allclose(found.difference(*arms, 1), 0.1)


def test_places_are_in_the_middle_of_equal_cells() -> None:
    found = reading(RATIO, arm((0, 0), (1, 1)), arm((0, 0), (1, 1)))
    assert found is not None and found.at[0] == pytest.approx(0.5 / GRID) and len(found.at) == GRID
    np.testing.assert_allclose(np.diff(found.at), 1 / GRID)


def test_an_interval_can_be_cut_to_another() -> None:
    arms = arm((0, 0), (1, 1)), arm((0, 0), (1, 1))
    cut = reading(RATIO, *arms, within=(0.4, 2.0))
    assert cut is not None and (cut.low, cut.high) == (0.4, 1.0)
    assert reading(RATIO, *arms, within=(1.2, 2.0)) is None


def test_fronts_that_touch_share_one_place() -> None:
    arms = arm((0, 0), (1, 1)), arm((3, 1), (4, 2))
    found = reading(RATIO, *arms)
    assert found is not None and (found.low, found.high) == (1.0, 1.0)
    np.testing.assert_allclose(found.difference(*arms, 1), -2.0)


# ---------------------------------------------------------------------------------------------------------- replicates


def test_a_replicate_goes_on_straight_with_the_samples_slope() -> None:
    """The sample's front rises by 2 in log L0 a unit of fidelity below, by 4 above; a replicate of one point."""
    reference = sampler(np.array([[0.0, 2.0, 6.0], [1.0, 1.0, 1.0]]), np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]))
    candidate = sampler(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.0, 2.0], [0.0, 2.0]]))
    found = reading(RATIO, reference, candidate)
    assert found is not None and found.slopes == ((2.0, 4.0), (0.5, 0.5))
    values, _ = found.values(reference, candidate, 2)
    np.testing.assert_allclose(values[1], 1 + np.where(found.at < 1, 2 * (found.at - 1), 4 * (found.at - 1)))


def test_a_front_of_one_point_goes_on_level() -> None:
    reference = sampler([[1.0], [1.5]], [[0.5], [0.7]])
    candidate = sampler([[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2)
    found = reading(RATIO, reference, candidate)
    assert found is not None and found.low == found.high == 0.5
    np.testing.assert_allclose(found.difference(reference, candidate, 2), [[0.5] * GRID, [1.0] * GRID])


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    arms = [sampler(*rng.normal(size=(2, 30, 6))) for _ in range(2)]
    found = reading(RATIO, *arms)
    assert found is not None
    whole = found.difference(*arms, 30)
    monkeypatch.setattr("pipeline.comparison.along.BLOCK", 7 * GRID)
    np.testing.assert_array_equal(found.difference(*arms, 30), whole)


# ------------------------------------------------------------------------------------------------------------ outright


def test_one_front_wholly_on_the_better_side() -> None:
    better, worse = arm((0, 2), (1, 3)), arm((1.5, 0), (2, 1))
    found = gaps(worse, better)
    assert found is not None and found.better == 1
    np.testing.assert_allclose(found.difference(worse, better, 1), [[0.5, 1.0]])
    turned = gaps(better, worse)
    assert turned is not None and turned.better == -1
    np.testing.assert_allclose(turned.difference(better, worse, 1), [[-0.5, -1.0]])


def test_neither_front_is_better_outright() -> None:
    line = arm((0, 0), (1, 1))
    assert gaps(line, arm((2, 2), (3, 3))) is None  # more faithful, less sparse
    assert gaps(line, arm((0.5, 2), (3, 3))) is None  # the ranges of L0 overlap
    assert gaps(line, arm((-1, 1), (-0.5, 2))) is None  # as faithful as the worst of the other
    assert gaps(line, arm((np.nan, 0), (0, np.nan))) is None
