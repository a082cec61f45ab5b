"""Fronts as curves: against brute force, with ties, single points and NaN; the hypervolume against Optuna's."""

import math
from itertools import pairwise

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from pipeline.analysis.curves import REFERENCE_FIDELITY, REFERENCE_L0, fronts, hypervolume, interpolate, overlap
from tests.seeds import over_seeds

Point = tuple[float, float]


def front_by_definition(points: list[Point]) -> list[Point]:
    """Non-dominated points from sparse to dense, equal ones once."""
    known = sorted({p for p in points if all(map(math.isfinite, p))})
    return [p for p in known if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in known)]


def at_by_definition(front: list[Point], y: float) -> float:
    """Log L0 on the polygon through the front at a fidelity."""
    for (x0, y0), (x1, y1) in pairwise(front):
        if y0 <= y <= y1:
            return x0 + (x1 - x0) * (y - y0) / (y1 - y0)
    return front[0][0] if len(front) == 1 and front[0][1] == y else math.nan


def random_points(seed: int) -> np.ndarray:
    """[2, rows, points] with many ties for even seeds, and here and there a NaN or an infinity."""
    rng = np.random.default_rng(seed)
    shape = (2, 5, int(rng.integers(1, 12)))
    values = rng.integers(-2, 4, size=shape).astype(float) if seed % 2 == 0 else rng.normal(size=shape)
    values[rng.random(shape) < 0.1] = np.nan
    values[rng.random(shape) < 0.05] = -np.inf
    return values


@over_seeds(100)
def test_fronts_and_their_interpolation_equal_the_definition(seed: int) -> None:
    x, y = random_points(seed)
    nodes = fronts(x, y)
    at = np.unique(np.concatenate([np.linspace(-3, 4, 29), y[np.isfinite(y)]]))
    values = interpolate(nodes[1], nodes[0], at)
    for row in range(len(x)):
        front = front_by_definition(list(zip(x[row], y[row], strict=True)))
        mine = [p for p in zip(nodes[0][row], nodes[1][row], strict=True) if not math.isnan(p[0])]
        assert sorted(set(mine)) == front
        expected = [at_by_definition(front, value) for value in at]
        np.testing.assert_allclose(values[row], expected, atol=1e-12)


def test_a_curve_is_monotone_and_never_extended() -> None:
    rng = np.random.default_rng(0)
    nodes = fronts(*rng.normal(size=(2, 1, 40)))
    at = np.linspace(-4, 4, 400)
    values = interpolate(nodes[1], nodes[0], at)[0]
    inside = np.isfinite(values)
    assert inside.any() and (np.diff(values[inside]) > 0).all()
    assert np.array_equal(inside, (nodes[1][0, 0] <= at) & (at <= nodes[1][0, -1]))


def test_a_curve_goes_on_straight_where_it_is_told_to() -> None:
    """Rows: two segments; one point; none."""
    known, wanted = (
        np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [np.nan] * 3]),
        np.array([[0.0, 5.0, 6.0], [7.0] * 3] * 2),
    )
    at = np.array([-1.0, 0.0, 0.5, 2.0, 4.0])
    values = interpolate(known, wanted[:3], at, (2.0, -3.0))
    np.testing.assert_allclose(values[0], [-2.0, 0.0, 2.5, 6.0, 0.0])
    np.testing.assert_allclose(values[1], [3.0, 5.0, 6.0, 4.0, -2.0])
    assert np.isnan(values[2]).all()
    np.testing.assert_array_equal(interpolate(known, wanted[:3], at)[0], [np.nan, 0.0, 2.5, 6.0, np.nan])


def test_no_points_no_curve() -> None:
    nodes = fronts(np.zeros((3, 0)), np.zeros((3, 0)))
    assert np.isnan(interpolate(*nodes, np.array([0.0, 1.0]))).all()
    nothing = fronts(np.full((1, 2), np.nan), np.zeros((1, 2)))
    assert np.isnan(interpolate(*nothing, np.array([0.0]))).all()
    assert overlap(nothing[1], nothing[1]) is None and overlap(nodes[0], nothing[0]) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 1], [0.5, 2], (0.5, 1.0)), ([0, 1], [1, 2], (1.0, 1.0)), ([0, 1], [2, 3], None),
        ([0.5], [0, 1], (0.5, 0.5)), ([-1, 1.5], [-0.5, 1.2], (-0.5, 1.2)),
    ],
)  # fmt: skip
def test_overlap(first: list[float], second: list[float], expected: tuple[float, float] | None) -> None:
    assert overlap(np.array([first]), np.array([second])) == expected


@over_seeds(60)
def test_hypervolume_equals_optunas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 15))
    l0, recovered = 10 ** rng.uniform(-1, 3.3, count), rng.uniform(-0.2, 1.2, count).round(1)
    losses = np.stack([np.log10(l0), -recovered], axis=1)
    reference = np.array([np.log10(REFERENCE_L0), -REFERENCE_FIDELITY])
    within = losses[(losses < reference).all(1)]
    expected = compute_hypervolume(within, reference) if len(within) else 0.0
    assert hypervolume(l0, recovered) == pytest.approx(expected, abs=1e-12)


def test_hypervolume_of_nothing() -> None:
    assert hypervolume(np.array([]), np.array([])) == 0.0
    assert hypervolume(np.array([np.nan, 0.0]), np.array([0.5, 0.9])) == 0.0
