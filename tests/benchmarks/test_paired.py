"""Differences between trainings: intervals as Student has them, faults seen, and no fault seen where there is none."""

import math
import statistics

import numpy as np
import pytest

from benchmarks.paired import Difference, each_level, over_allowed

HARMLESS = Difference(0.0, 1.0)


def test_the_interval_is_student_s():
    values = [0.3, -0.1, 0.25, 0.6, 0.05]
    half = 4.60409487 * statistics.stdev(values) / math.sqrt(5)  # a table of t: 99 %, 4 degrees of freedom
    assert Difference.of(values, 0.99) == Difference(pytest.approx(0.22), pytest.approx(half, rel=1e-6))


@pytest.mark.parametrize(
    ("mean", "half", "fault"),
    [
        (0.5, 0.6, False),  # holds 0
        (5.0, 6.0, False),  # holds 0, however wide
        (0.5, 0.1, False),  # leaves out 0, but harmless rounding reaches as far
        (-0.5, 0.1, False),
        (0.9, 0.2, True),  # leaves out 0, and reaches farther
        (-0.9, 0.2, True),
    ],
)
def test_a_fault_leaves_out_0_and_reaches_farther_than_what_is_harmless(mean, half, fault):
    assert (over_allowed(Difference(mean, half), HARMLESS) > 1) == fault


def test_what_is_harmless_is_counted_from_0():
    assert over_allowed(Difference(1.5, 0.1), Difference(-1.0, 0.7)) == pytest.approx(1.6 / 1.7)


def test_the_same_bits_are_no_fault_and_a_constant_difference_is_one():
    same, constant = Difference.of([0.0, 0.0], 0.95), Difference.of([0.1, 0.1], 0.95)
    assert over_allowed(same, same) == 0.0 and over_allowed(same, HARMLESS) == 0.0
    assert over_allowed(constant, same) == math.inf and over_allowed(constant, HARMLESS) < 1


def share_called_faulty(shift: float) -> float:
    """Of 200 benchmarks of 8 seeds and 10 metrics, one of which sparse training shifts by so many seeds' spreads."""
    rng, level, faulty = np.random.default_rng(0), each_level(0.95, 10), 0
    for _ in range(200):
        sparse, reordered, dense = rng.standard_normal((3, 10, 8))
        sparse[0], reordered[0] = sparse[0] + shift, reordered[0] + shift
        faulty += any(
            over_allowed(Difference.of(list(a - c), level), Difference.of(list(a - b), level)) > 1
            for a, b, c in zip(sparse, reordered, dense, strict=True)
        )  # fmt: skip
    return faulty / 200


def test_trainings_that_differ_by_noise_alone_are_seldom_called_faulty_and_a_fault_is_nearly_always_seen():
    assert share_called_faulty(0.0) <= 0.05
    assert share_called_faulty(4.0) >= 0.95
