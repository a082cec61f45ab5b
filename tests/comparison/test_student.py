"""Student's t against printed tables and closed forms."""

import math

import pytest

from pipeline.comparison.student import t_cdf, t_quantile


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622), (29, 2.0452), (120, 1.9799)]
)
def test_quantiles_of_the_tables(freedom: int, expected: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(expected, abs=5e-5)


def test_closed_forms_and_limits() -> None:
    for t in (-3.0, -0.2, 0.0, 1.7):
        assert t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi)
        assert t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)))
    assert t_quantile(0.975, 1e6) == pytest.approx(1.959964, abs=1e-5)
    assert t_quantile(0.975, 4) > t_quantile(0.975, 4.5) > t_quantile(0.975, 5)


@pytest.mark.parametrize(("probability", "freedom"), [(0.975, 0), (0.4, 5), (1.0, 5)])
def test_what_has_no_quantile(probability: float, freedom: float) -> None:
    with pytest.raises(ValueError):
        t_quantile(probability, freedom)
