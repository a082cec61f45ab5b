"""One run's training: stopped and resumed it is the same training, bit for bit; a loss that is not finite ends it."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.activations.blocks import Block, Calibration, StreamShape, calibrate
from pipeline.config.schema import (
    ResampleConfig,
    RunConfig,
    TrainConfig,
)
from pipeline.errors import TrainingDiverged
from pipeline.sae.kernels import jit
from pipeline.sae.sparse_step.selection import SPARSE_BELOW
from pipeline.sae.sparse_step.step import ElementwiseSAE
from pipeline.storage.files import CHECKSUM, write_checksummed
from pipeline.training import trainer as trainer_module
from pipeline.training.resampling import resample
from pipeline.training.trainer import HISTORY_COLUMNS, Trainer
from tests.factories import run_config

HOOK = "blocks.0.hook_resid_post"
D_IN, D_SAE, STEPS = 8, 40, 37
SHAPE = StreamShape(context=9, lm_batch=2, batch=16, contexts_per_block=20)
RESAMPLING = ResampleConfig(steps=(12, 24), window=2, inputs=100, lr_warmup=6)


def activations(seed: int, rows: int) -> Tensor:
    """Sparse combinations of a few directions, around a mean that is not zero."""
    directions = torch.randn(16, D_IN, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    codes = (torch.randn(rows, 16, generator=generator) - 1).relu() * 4
    return codes @ directions + 0.5


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    made = []
    for index in range(4):
        order = torch.randperm(160, generator=torch.Generator().manual_seed(index))
        made.append(Block(index, SHAPE, {HOOK: activations(index, 160)[order]}))
    assert SHAPE.steps_per_block == 10
    return made


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(activations(50, 400))


def config(architecture: str = "gated", coefficient: float = 8.0, **train: Any) -> RunConfig:
    """So fast and so sparse that features die within a few steps."""
    settings = {"steps": STEPS, "batch": 16, "lr": 0.05, "lr_warmup": 3, "lr_decay": 8, "sparsity_warmup": 5}
    training = TrainConfig(**(settings | {"resample": RESAMPLING} | train))
    return run_config(architecture=architecture, train=training, sparsity_coefficient=coefficient, seed=3)


class StopAt(threading.Event):
    """Set once the trainer has taken so many steps."""

    def __init__(self, trainer: Trainer, step: int) -> None:
        super().__init__()
        self.trainer, self.step = trainer, step

    def is_set(self) -> bool:
        return self.trainer.step >= self.step


def advance(trainer: Trainer, blocks: list[Block], until: int = STEPS) -> Trainer:
    """As a pack does: block by block, until done or told to stop."""
    while not trainer.done and trainer.step < until:
        trainer.train_on(blocks[SHAPE.block_of(trainer.step)], StopAt(trainer, until))
    return trainer


def assert_same(one: Trainer, other: Trainer) -> None:
    """Everything that the rest of training depends on, bit for bit."""
    assert one.step == other.step and one.history == other.history and one.flops == other.flops
    for name, value in (dict(one.sae.state_dict()) | one.optimizer.state()).items():
        assert torch.equal((dict(other.sae.state_dict()) | other.optimizer.state())[name], value), name
    assert torch.equal(one.steps_silent, other.steps_silent)
    assert torch.equal(one.generator.get_state(), other.generator.get_state())


@pytest.fixture
def resampled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many features each resampling found dead."""
    counts: list[int] = []

    def spy(sae, optimizer, inputs, dead, config, generator) -> None:  # type: ignore[no-untyped-def]
        counts.append(len(dead))
        resample(sae, optimizer, inputs, dead, config, generator)

    monkeypatch.setattr(trainer_module, "resample", spy)
    return counts


# Inside a block, at its end, before and after a resampling, inside its re-warm-up, inside the decay, at the end.
POSITIONS = [4, 10, 12, 13, 15, 24, 26, 33, 37]


@pytest.mark.parametrize("architecture", ["baseline", "gated"])
def test_resumed_equals_uninterrupted(architecture, blocks, calibration, tmp_path, resampled) -> None:
    run = config(architecture)
    whole = advance(Trainer(run, calibration, D_SAE, history_every=7), blocks)
    assert len(resampled) == 2 and all(0 < count < D_SAE for count in resampled), resampled
    interrupted = Trainer(run, calibration, D_SAE, history_every=7)
    for position in POSITIONS:
        advance(interrupted, blocks, until=position).save(tmp_path, {})
        resumed = Trainer(run, calibration, D_SAE, history_every=7)
        resumed.resume(tmp_path)
        assert resumed.step == position
        assert_same(advance(resumed, blocks), whole)


def test_resumed_after_every_step_equals_uninterrupted(blocks, calibration, tmp_path) -> None:
    run = config()
    whole = advance(Trainer(run, calibration, D_SAE, history_every=7), blocks)
    for step in range(1, STEPS + 1):
        trainer = Trainer(run, calibration, D_SAE, history_every=7)
        trainer.resume(tmp_path)
        advance(trainer, blocks, until=step).save(tmp_path, {})
    assert_same(trainer, whole)


def test_resumed_from_the_checkpoint_before_a_damaged_one(blocks, calibration, tmp_path: Path) -> None:
    run = config()
    trainer = Trainer(run, calibration, D_SAE, history_every=7)
    for position in (14, 22):
        advance(trainer, blocks, until=position).save(tmp_path, {})
    (tmp_path / "step-000000022.json").write_text('{"history": [')
    resumed = Trainer(run, calibration, D_SAE, history_every=7)
    resumed.resume(tmp_path)
    assert resumed.step == 14
    assert_same(advance(resumed, blocks), advance(trainer, blocks))


def test_resume_gives_back_what_was_kept_and_none_without_checkpoint(blocks, calibration, tmp_path: Path) -> None:
    trainer = Trainer(config(), calibration, D_SAE, history_every=7)
    assert trainer.resume(tmp_path) is None and trainer.step == 0
    advance(trainer, blocks, until=3).save(tmp_path, {"source_position": {"number": 5}})
    assert Trainer(config(), calibration, D_SAE, 7).resume(tmp_path) == {"source_position": {"number": 5}}


def test_seed_decides_the_start(calibration) -> None:
    assert_same(Trainer(config(), calibration, D_SAE, 7), Trainer(config(), calibration, D_SAE, 7))


def test_training_learns_and_its_history_says_so(blocks, calibration) -> None:
    trainer = advance(Trainer(config(coefficient=0.3), calibration, D_SAE, history_every=7), blocks)
    assert [row["step"] for row in trainer.history] == [7, 14, 21, 28, 35, 37]
    assert all(list(row) == HISTORY_COLUMNS for row in trainer.history)
    last = trainer.history[-1]
    assert last["reconstruction"] < 0.7 * trainer.history[0]["reconstruction"]
    assert last["tokens"] == STEPS * 16 and 0 < last["l0"] < D_SAE
    expected = last["reconstruction"] + last["sparsity_coefficient"] * last["sparsity"] + last["auxiliary"]
    assert last["loss"] == pytest.approx(expected, rel=1e-5)


def test_inputs_are_scaled(blocks, calibration) -> None:
    """Scaling the activations and the calibration alike changes nothing: E||s x||^2 = d_in either way."""
    louder = [Block(b.index, b.shape, {HOOK: 8 * b.activations[HOOK]}) for b in blocks]
    loud = Trainer(config(), calibrate(8 * calibration.activations), D_SAE, 7)
    assert loud.scale == pytest.approx(Trainer(config(), calibration, D_SAE, 7).scale / 8)
    plain = advance(Trainer(config(), calibration, D_SAE, 7), blocks, until=9)
    torch.testing.assert_close(advance(loud, louder, until=9).sae.W_enc, plain.sae.W_enc, rtol=1e-3, atol=1e-4)
    assert Trainer(config(input_scale="none"), calibration, D_SAE, 7).scale == 1.0


def test_silent_steps_are_counted_until_a_feature_fires(blocks, calibration) -> None:
    trainer = Trainer(config(), calibration, D_SAE, history_every=7)
    expected = torch.zeros(D_SAE, dtype=torch.int64)
    for step in range(12):
        x = blocks[SHAPE.block_of(step)].batch(HOOK, step) * trainer.scale
        fired = (trainer.sae.encode(x) > 0).any(0)
        expected = torch.where(fired, 0, expected + 1)
        advance(trainer, blocks, until=step + 1)
        assert torch.equal(trainer.steps_silent, expected)
    assert expected.max() >= RESAMPLING.window


def test_resampling_takes_what_was_silent_for_a_window(blocks, calibration, resampled) -> None:
    trainer = advance(Trainer(config(), calibration, D_SAE, history_every=7), blocks, until=12)
    dead = trainer.steps_silent >= RESAMPLING.window
    before = trainer.sae.W_dec.detach().clone()
    advance(trainer, blocks, until=13)
    assert resampled == [int(dead.sum())]
    turned = (trainer.sae.W_dec.detach() - before).norm(dim=1)
    assert turned[dead].min() > turned[~dead].max()


def test_resampled_features_are_given_a_whole_window_again(blocks, calibration, monkeypatch) -> None:
    """Even if they stay silent, as they do here, where nothing is done to them."""
    monkeypatch.setattr(trainer_module, "resample", lambda *_: None)
    trainer = advance(Trainer(config(), calibration, D_SAE, history_every=7), blocks, until=12)
    dead = trainer.steps_silent >= RESAMPLING.window
    advance(trainer, blocks, until=13)
    assert trainer.steps_silent[dead].max() == 1


# ------------------------------------------------------------------------------------------------ stopping and failing


def test_stop_that_is_set_takes_no_step(blocks, calibration) -> None:
    trainer = Trainer(config(), calibration, D_SAE, history_every=7)
    stop = threading.Event()
    stop.set()
    trainer.train_on(blocks[0], stop)
    assert trainer.step == 0 and not trainer.optimizer.state()


@pytest.mark.parametrize("step", [1, 7, 12, 23])
def test_stop_ends_at_a_step_boundary(step: int, blocks, calibration) -> None:
    """What is left is the state after exactly so many steps: going on from it is going on."""
    trainer = advance(Trainer(config(), calibration, D_SAE, history_every=7), blocks, until=step)
    assert trainer.step == step
    assert_same(advance(trainer, blocks), advance(Trainer(config(), calibration, D_SAE, history_every=7), blocks))


def test_training_ends_with_its_steps_inside_the_last_block(blocks, calibration) -> None:
    trainer = advance(Trainer(config(), calibration, D_SAE, history_every=7), blocks)
    assert trainer.done and trainer.step == STEPS
    weights = trainer.sae.W_enc.detach().clone()
    trainer.train_on(blocks[3], threading.Event())
    assert trainer.step == STEPS and torch.equal(trainer.sae.W_enc, weights)


@pytest.mark.parametrize(("history_every", "noticed"), [(1, 6), (4, 8), (50, STEPS)])
def test_loss_that_is_not_finite_raises(history_every: int, noticed: int, blocks, calibration) -> None:
    """At the next row of the history, and never later than the last step: no diverged run counts as done."""
    poisoned = blocks[0].activations[HOOK].clone()
    poisoned[5 * 16] = torch.inf
    bad = [Block(0, SHAPE, {HOOK: poisoned}), *blocks[1:]]
    trainer = Trainer(config(resample=ResampleConfig()), calibration, D_SAE, history_every)
    with pytest.raises(TrainingDiverged, match=f"step {noticed}:") as raised:
        advance(trainer, bad)
    assert "\n" not in str(raised.value) and trainer.step == noticed
    assert all(row["step"] < noticed for row in trainer.history)


@pytest.mark.parametrize(("architecture", "products"), [("baseline", 5), ("gated", 7), ("gated_unfrozen", 8)])
def test_operations_are_counted_step_by_step(architecture: str, products: int, blocks, calibration) -> None:
    """The encoder's product over all entries, the others over the active ones, or over all where these are many."""
    run = config(architecture, coefficient=2.0, resample=ResampleConfig())
    trainer = Trainer(run, calibration, D_SAE, history_every=7)
    expected, kinds, entries = 0, set(), 16 * D_SAE
    for step in range(STEPS):
        x = blocks[SHAPE.block_of(step)].batch(HOOK, step) * trainer.scale
        sae = trainer.sae
        assert isinstance(sae, ElementwiseSAE)
        active = int((sae.pre_acts(x) > sae.active_above()).sum())
        sparse = active < round(SPARSE_BELOW["cpu"] * entries)
        expected += 2 * D_IN * entries + (products - 1) * 2 * D_IN * (active if sparse else entries)
        kinds.add(sparse)
        advance(trainer, blocks, until=step + 1)
        assert trainer.flops == expected
    assert kinds == {True, False}


def test_what_an_older_checkpoint_did_not_count_stays_unknown(blocks, calibration, tmp_path: Path) -> None:
    trainer = advance(Trainer(config(), calibration, D_SAE, 7), blocks, until=9)
    trainer.save(tmp_path, {})
    (path,) = tmp_path.glob("*.json")
    state = {
        name: value for name, value in json.loads(path.read_text()).items() if name not in {CHECKSUM, "training_flops"}
    }
    write_checksummed(path, state)
    resumed = Trainer(config(), calibration, D_SAE, 7)
    resumed.resume(tmp_path)
    assert resumed.step == 9 and advance(resumed, blocks).flops is None


@pytest.mark.parametrize("step", [9, 10, 11])
def test_divergence_just_before_a_resampling_is_called_by_its_name(step: int, blocks, calibration) -> None:
    """Some features are dead by then and others only seem so: the draw of inputs meets a loss that is not finite."""
    index, place = divmod(step, SHAPE.steps_per_block)
    poisoned = blocks[index].activations[HOOK].clone()
    poisoned[place * 16] = torch.inf
    bad = [*blocks[:index], Block(index, SHAPE, {HOOK: poisoned}), *blocks[index + 1 :]]
    with pytest.raises(TrainingDiverged):
        advance(Trainer(config(), calibration, D_SAE, history_every=50), bad)


def test_absurd_learning_rate_diverges(blocks, calibration) -> None:
    with pytest.raises(TrainingDiverged, match=r"train\.lr"):
        advance(Trainer(config(lr=1e25), calibration, D_SAE, history_every=5), blocks)


@pytest.mark.parametrize("architecture", ["gated", "baseline"])
def test_the_number_of_threads_changes_no_bit(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the default sweep's shapes, where torch does use several threads; every loop of ours is split."""
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    shape = StreamShape(256, 16, 256, 32)
    x = torch.randn(shape.contexts_per_block * 255, 256, generator=torch.Generator().manual_seed(0))
    run = config(architecture, coefficient=4.0, steps=12, batch=256)
    block = Block(0, shape, {run.hook_name: x})
    trained = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        trainer = Trainer(run, calibrate(x), 1536, history_every=1)
        trainer.train_on(block, threading.Event())
        trained.append(trainer)
    assert_same(*trained)
