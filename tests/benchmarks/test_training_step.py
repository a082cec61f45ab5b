"""What is timed is what it says: the L0 asked for, every call in its turn; gradients that are checked can be wrong."""

import pytest
import torch

from benchmarks import gradients
from benchmarks.training_step import interleaved
from benchmarks.untrained import trainer
from pipeline.sae.objective import StepContext


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gated", "baseline"])
@pytest.mark.parametrize("l0", [0, 5, 60])
def test_l0_is_as_asked_and_stays(architecture, l0):
    torch.manual_seed(0)
    x = torch.randn(64, 16)
    made = trainer(architecture, x, 64, 64, l0)
    for _ in range(3):
        taken = made.sae.take_gradients(x * made.scale, StepContext(1.0))
        assert taken.l0() == pytest.approx(l0, abs=1.0)
        made.optimizer.step(taken.gradients, 1e-12)


def test_calls_take_turns_and_the_slow_come_less_often():
    order: list[str] = []
    calls = {"a": (lambda: order.append("a"), 1), "b": (lambda: order.append("b"), 2)}
    times = interleaved(calls, 4, "cpu")
    assert order == ["a", "b"] + ["a", "b", "a"] * 2  # once each before, untimed
    assert len(times["a"]) == 4 and len(times["b"]) == 2


@pytest.mark.slow
def test_a_wrong_gradient_is_seen(monkeypatch):
    torch.manual_seed(0)
    assert gradients._against_float64("gated", 10)["over_allowed"] < 1
    right = gradients._ours
    monkeypatch.setattr(gradients, "_ours", lambda *a: {n: 1.001 * g for n, g in right(*a).items()})
    assert gradients._against_float64("gated", 10)["over_allowed"] > 1
