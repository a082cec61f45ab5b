"""What a plan estimates: times that follow the rate, what packs share, and the sweep that was measured."""

import itertools

import pytest

from pipeline.config.schema import ModelConfig, RunConfig, TrainConfig
from pipeline.estimates.compute import START, model_seconds, pack_cost, sweep_seconds
from pipeline.launching import plan
from pipeline.sae.registry import config_class
from pipeline.storage.places import PACKAGE
from tests.factories import HOOKS, run_config


def default_sweep() -> list[list[RunConfig]]:
    """Two packs of 15 runs, as `sweep=gated_vs_baseline` has them on two cores."""
    model = ModelConfig(name="bundled", path=str(PACKAGE / "bundled" / "model"), context=256, layer=2)
    return [
        [
            run_config(
                model=model, site=site, architecture=config_class(name)(expansion=expansion),
                train=TrainConfig(steps=5000, batch=256, lr=1e-3), layer=2, sparsity_coefficient=float(coefficient),
            )
            for site, coefficient in itertools.product(HOOKS, range(1, 6))
        ]
        for name, expansion in (("gated", 4), ("baseline", 6))
    ]  # fmt: skip


def test_the_measured_sweep_lies_within_the_range():
    """6 min 50 s in a quiet hour and 9 min 27 s in a busy one, at about 105 GFLOP/s a core (docs/measurements.md)."""
    estimate = sweep_seconds(default_sweep(), "cpu", at_once=2, shared=True, rate=105e9)
    low, high = (factor * estimate for factor in plan.LIKELY)
    assert low < 390 < 567 < high


def test_packs_that_share_a_stream_read_the_text_once():
    packs = default_sweep()
    alone, shared = (sweep_seconds(packs, "cpu", 2, shared, 1e11) for shared in (False, True))
    read = model_seconds(pack_cost(packs[0]).read_flops, 1e11)
    assert alone - shared == pytest.approx(read / 2)
    assert sweep_seconds([], "cpu", 1, False, 1e11) == 0


def test_a_pack_has_its_start_and_the_rest_follows_the_rate():
    cost = pack_cost(default_sweep()[0])
    beside = cost.seconds(1e30)
    assert beside > START
    assert cost.seconds(1e11) - beside == pytest.approx(2 * (cost.seconds(2e11) - beside))


def test_the_rate_is_a_sustained_one(monkeypatch: pytest.MonkeyPatch):
    took = iter([9.0] * plan.WARM_UP + [0.1] + [2.0] * (plan.BLOCKS - 2) + [5.0])
    monkeypatch.setattr(plan, "_seconds", lambda call, device: next(took))
    flops = plan.PRODUCTS * 2 * 1024 * 512 * 2048
    assert plan.matmul_rate("cpu") == flops / 2.0
