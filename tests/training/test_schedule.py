"""Schedules at the steps where they turn."""

import math

import pytest

from pipeline.config.schema import ResampleConfig, TrainConfig
from pipeline.training.schedule import learning_rate, sparsity_coefficient

RATE = 3e-4


def config(**settings: object) -> TrainConfig:
    return TrainConfig(**({"steps": 1000, "batch": 1, "lr": RATE} | settings))


def rates(train: TrainConfig) -> list[float]:
    """As fractions of the full rate."""
    return [learning_rate(train, step) / RATE for step in range(train.steps)]


def test_rate_is_constant_unless_told_otherwise() -> None:
    assert rates(config()) == [1.0] * 1000


@pytest.mark.parametrize(("step", "fraction"), [(0, 1 / 50), (24, 0.5), (49, 1.0), (50, 1.0), (999, 1.0)])
def test_warm_up_is_linear_and_never_zero(step: int, fraction: float) -> None:
    assert rates(config(lr_warmup=50))[step] == pytest.approx(fraction)


@pytest.mark.parametrize(("step", "fraction"), [(0, 1.0), (799, 1.0), (800, 1.0), (900, 0.5), (999, 1 / 200)])
def test_decay_ends_just_above_zero(step: int, fraction: float) -> None:
    assert rates(config(lr_decay=200))[step] == pytest.approx(fraction)


@pytest.mark.parametrize(
    ("step", "fraction"), [(299, 1.0), (300, 0.1), (350, 0.55), (325, 0.1 + 0.9 * (1 - math.sqrt(0.5)) / 2), (400, 1.0)]
)
def test_resampling_drops_the_rate_and_a_cosine_brings_it_back(step: int, fraction: float) -> None:
    train = config(resample=ResampleConfig(steps=(300,), lr_factor=0.1, lr_warmup=100))
    assert rates(train)[step] == pytest.approx(fraction)


def test_paper_takes_a_thousand_steps_from_a_tenth() -> None:
    resample = ResampleConfig(steps=(1,))
    assert (resample.lr_factor, resample.lr_warmup) == (0.1, 1000)


def test_rise_after_resampling_is_steady() -> None:
    rise = rates(config(resample=ResampleConfig(steps=(300,), lr_warmup=100)))[300:401]
    assert rise == sorted(rise) and len(set(rise)) == len(rise)


def test_a_second_resampling_starts_the_rise_again() -> None:
    """Given in any order; the rise that counts is that of the last resampling so far."""
    both = rates(config(resample=ResampleConfig(steps=(340, 300), lr_warmup=100)))
    assert both[339] == rates(config(resample=ResampleConfig(steps=(300,), lr_warmup=100)))[339]
    assert both[340:] == rates(config(resample=ResampleConfig(steps=(340,), lr_warmup=100)))[340:]


def test_resampling_without_rewarming_leaves_the_rate_alone() -> None:
    assert rates(config(resample=ResampleConfig(steps=(300,), lr_warmup=0))) == [1.0] * 1000


def test_schedules_multiply() -> None:
    alone = [
        rates(config(lr_warmup=400)), rates(config(lr_decay=700)),
        rates(config(resample=ResampleConfig(steps=(350,), lr_warmup=100))),
    ]  # fmt: skip
    together = config(lr_warmup=400, lr_decay=700, resample=ResampleConfig(steps=(350,), lr_warmup=100))
    assert rates(together) == pytest.approx([a * b * c for a, b, c in zip(*alone, strict=True)])
    assert all(0 < rate <= 1 for rate in rates(together))


@pytest.mark.parametrize(("step", "expected"), [(0, 0.02), (49, 1.0), (99, 2.0), (100, 2.0), (999, 2.0)])
def test_sparsity_coefficient_rises_linearly(step: int, expected: float) -> None:
    assert sparsity_coefficient(config(sparsity_warmup=100), 2.0, step) == pytest.approx(expected)


def test_sparsity_coefficient_is_constant_unless_told_otherwise() -> None:
    assert {sparsity_coefficient(config(), 2.0, step) for step in range(1000)} == {2.0}
