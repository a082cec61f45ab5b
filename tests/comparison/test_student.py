"""Student's t against printed tables and closed forms."""

import math

import pytest

from pipeline.comparison.t_distribution import t_quantile, two_tails


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622), (29, 2.0452), (120, 1.9799)]
)
def test_quantiles_of_the_tables(freedom: int, expected: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(expected, abs=5e-5)
    assert two_tails(expected, freedom) == pytest.approx(0.05, abs=1e-5)


def test_closed_forms() -> None:
    for t in (0.2, 1.7, 40.0, 1e6):
        assert two_tails(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-12)
        assert two_tails(-t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-12)
    assert two_tails(math.inf, 3) == 0
