"""Architectures from outside the package are found by name, trained, saved and loaded like its own."""

import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from pipeline.activations.blocks import Block, StreamShape, calibrate
from pipeline.config.checked import checked
from pipeline.config.schema import TrainConfig
from pipeline.errors import UserError
from pipeline.estimates.compute import training_dense_flops
from pipeline.sae import registry
from pipeline.sae.architectures import baseline, gated
from pipeline.sae.base import SAE, Losses, PerFeature, squared_error
from pipeline.sae.objective import StepContext
from pipeline.sae.saved import load_sae, save_sae
from pipeline.training.trainer import Trainer
from tests.factories import run_config

HOOK = "blocks.0.hook_resid_post"


@dataclass(frozen=True)
class TanhConfig:
    name: str = "tanh_penalty"
    expansion: float = 2.0
    steepness: float = 4.0


class TanhPenaltySAE(SAE):
    """ReLU features under the penalty sum tanh(c f): one respect in which it differs from the baseline."""

    feature_parameters: ClassVar[tuple[PerFeature, ...]] = (PerFeature("b_enc"),)
    b_enc: nn.Parameter

    def encode(self, x: Tensor) -> Tensor:
        return torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)

    def training_losses(self, x: Tensor, at: StepContext) -> Losses:
        f = self.encode(x)
        penalty = torch.tanh(self.config.steepness * f).sum() / len(f)
        return Losses(squared_error(x, self.decode(f)), penalty, x.new_zeros(()), f.detach())


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the architecture for one test only."""
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry._ARCHITECTURES))
    registry.register("tanh_penalty", TanhConfig)(TanhPenaltySAE)


def test_own_architectures_are_found_by_name() -> None:
    assert registry.sae_class("baseline") is baseline.BaselineSAE
    assert registry.config_class("gated") is gated.GatedConfig


def test_foreign_architecture_is_found_and_configured_by_name() -> None:
    assert registry.sae_class("tanh_penalty") is TanhPenaltySAE
    section = {"name": "tanh_penalty", "steepness": 2}
    assert checked(section, registry.config_class("tanh_penalty"), "architecture") == TanhConfig(steepness=2.0)


def test_foreign_architecture_trains_and_comes_back_from_disk(tmp_path: Path) -> None:
    shape = StreamShape(context=9, lm_batch=4, batch=32, contexts_per_block=200)
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(shape.contexts_per_block * 8, 12, generator=generator).relu() * 2
    activations = codes @ torch.randn(12, 8, generator=generator)
    block = Block(0, shape, {HOOK: activations})
    train = TrainConfig(steps=50, batch=32, lr=0.01)
    run = run_config(architecture=TanhConfig(), train=train, sparsity_coefficient=0.1)
    trainer = Trainer(run, calibrate(activations), d_sae=16, history_every=5)
    trainer.train_on(block, threading.Event())
    assert trainer.done and isinstance(trainer.sae, TanhPenaltySAE)
    assert trainer.flops is None and training_dense_flops(run) is None  # it does not say what its steps form
    assert trainer.history[-1]["loss"] < 0.5 * trainer.history[0]["loss"]
    torch.testing.assert_close(trainer.sae.W_dec.norm(dim=1), torch.ones(16))
    save_sae(trainer.sae, tmp_path, {"hook_name": HOOK, "architecture": asdict(run.architecture)})
    loaded = load_sae(tmp_path)
    assert isinstance(loaded, TanhPenaltySAE) and torch.equal(loaded(activations), trainer.sae(activations))


@pytest.mark.parametrize("look_up", [registry.sae_class, registry.config_class])
def test_unknown_name_is_an_error_in_one_line_that_says_what_exists(look_up) -> None:
    with pytest.raises(UserError) as raised:
        look_up("gatd")
    message = str(raised.value)
    assert "\n" not in message and "architecture.name=gatd" in message
    assert all(name in message for name in ("baseline", "gated", "tanh_penalty"))
