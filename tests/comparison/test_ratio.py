"""The L0 ratio: against brute force on random fronts, and what replicates that cover a part of the interval do."""

import math
import statistics

import numpy as np
import pytest

from pipeline.comparison.ratio import GRID, Curve, Sampler, fidelity_gain, l0_ratio, row_medians
from tests.test_curves import at_by_definition, front_by_definition


def sampler(x: np.ndarray, y: np.ndarray) -> Sampler:
    x, y = np.atleast_2d(x).astype(float), np.atleast_2d(y).astype(float)
    return lambda rows: (x[rows], y[rows])


def by_brute_force(arms: list[list[tuple[float, float]]]) -> tuple[float, float, float] | None:
    """Median log ratio, and the ends of the overlap."""
    first, second = (front_by_definition(points) for points in arms)
    if not first or not second:
        return None
    low, high = max(first[0][1], second[0][1]), min(first[-1][1], second[-1][1])
    if low >= high:
        return None
    places = [low + (high - low) * (n + 0.5) / GRID for n in range(GRID)]
    ratios = [at_by_definition(first, y) - at_by_definition(second, y) for y in places]
    return statistics.median(ratios), low, high


@pytest.mark.parametrize("seed", range(150))
def test_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms = []
    for _ in range(2):
        count = int(rng.integers(0, 7))
        points = rng.integers(0, 5, (2, count)) / 4.0 if seed % 3 == 0 else rng.normal(0.5, 0.6, (2, count))
        points[rng.random((2, count)) < 0.08] = np.nan
        arms.append(points)
    expected = by_brute_force([list(zip(*points, strict=True)) for points in arms])
    curve = l0_ratio(sampler(*arms[0]), sampler(*arms[1]), 1)
    if expected is None:
        assert curve is None
    else:
        assert curve is not None
        assert (curve.estimate, curve.low, curve.high) == pytest.approx(expected, abs=1e-12)


def test_parallel_fronts_have_their_ratio_everywhere_beyond_0_and_1_too() -> None:
    y = np.array([-0.4, 0.3, 1.1, 1.5])
    x = np.array([0.0, 1.0, 1.2, 3.0])
    curve = l0_ratio(sampler(x + math.log(2), y), sampler(x, y), 1)
    assert curve is not None and (curve.low, curve.high) == (-0.4, 1.5)
    np.testing.assert_allclose(np.exp(curve.difference), 2.0)


def test_loss_recovered_by_another_ablation_gives_the_same_ratio() -> None:
    """Both are affine in the cross-entropy: the interval of fidelity changes, the estimate does not."""
    rng = np.random.default_rng(1)
    x, other_x = rng.uniform(0, 3, size=(2, 9))
    ce, other_ce = 2 - 0.5 * x + 0.1 * rng.normal(size=9), 2.2 - 0.5 * other_x + 0.1 * rng.normal(size=9)
    zero, mean = (
        l0_ratio(sampler(x, (top - ce) / top), sampler(other_x, (top - other_ce) / top), 1) for top in (4.0, 3.1)
    )
    assert zero is not None and mean is not None and zero.low != mean.low
    assert zero.estimate == pytest.approx(mean.estimate)


def test_gain_along_l0_is_the_vertical_difference() -> None:
    x = np.array([0.0, 1.0, 2.0])
    curve = fidelity_gain(sampler(x, -0.3 + 0.1 * x), sampler(x + 0.5, -0.2 + 0.1 * (x + 0.5)), 1)
    assert curve is not None and (curve.low, curve.high) == (0.5, 2.0)
    np.testing.assert_allclose(curve.difference, 0.1)


def curve_of(replicates: np.ndarray) -> Curve:
    sample = np.linspace(0.0, 1.0, replicates.shape[1])
    first = np.vstack([sample, replicates])
    return Curve(0.0, 1.0, sample, first, np.zeros_like(first))


def test_a_part_cut_off_shifts_no_replicate() -> None:
    """The ratio rises along the interval: the median of what is left would, but the deviation does not."""
    replicates = np.tile(np.linspace(0.0, 1.0, 100), (40, 1)) + 0.01
    replicates[:20, :30] = np.nan
    deviations = curve_of(replicates).deviations()
    assert deviations is not None
    np.testing.assert_allclose(deviations, 0.01)


def test_too_few_replicates_that_cover_half_are_refused() -> None:
    replicates = np.tile(np.linspace(0.0, 1.0, 100), (40, 1))
    replicates[:2, :51] = np.nan
    kept = curve_of(replicates).deviations()
    assert kept is not None and len(kept) == 38
    replicates[:3, :51] = np.nan
    assert curve_of(replicates).deviations() is None
    assert curve_of(replicates[:0]).deviations() is None


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    arms = [sampler(*rng.normal(size=(2, 30, 6))) for _ in range(2)]
    whole = l0_ratio(*arms, 30)
    monkeypatch.setattr("pipeline.comparison.ratio.BLOCK", 7 * GRID)
    parts = l0_ratio(*arms, 30)
    assert whole is not None and parts is not None
    np.testing.assert_array_equal(whole.difference, parts.difference)


def test_row_medians_leave_out_nan() -> None:
    values = np.array([[3.0, 1.0, np.nan, 2.0], [np.nan, 4.0, 1.0, np.nan]])
    assert row_medians(values).tolist() == [2.0, 2.5]
