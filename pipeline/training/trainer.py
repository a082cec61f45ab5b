"""One run's training: the state in a checkpoint, and the loop over the steps of a block."""

import math
import threading
import time
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.blocks import Block, Calibration
from pipeline.config.schema import RunConfig
from pipeline.errors import TrainingDiverged
from pipeline.sae.base import Step
from pipeline.sae.objective import StepContext
from pipeline.storage.phases import phase
from pipeline.training.checkpoint import read_checkpoint, write_checkpoint
from pipeline.training.initialisation import initialise
from pipeline.training.optimizer import Optimizer
from pipeline.training.resampling import resample
from pipeline.training.schedule import learning_rate, sparsity_coefficient

HISTORY_COLUMNS = [
    "step", "tokens", "loss", "reconstruction", "sparsity", "auxiliary", "l0", "dead_fraction", "lr",
    "sparsity_coefficient", "sparse_steps",
]  # fmt: skip


class Trainer:
    """Trains one SAE on the batches of the blocks it is given."""

    def __init__(self, run: RunConfig, calibration: Calibration, d_sae: int, history_every: int) -> None:
        self.run, self.calibration, self.history_every = run, calibration, history_every
        self.scale = calibration.scale(run.train.input_scale)
        self.sae, self.generator = initialise(run, calibration, d_sae)
        self.optimizer = Optimizer(self.sae, run.train)
        self.step = 0
        self.steps_silent = torch.zeros(d_sae, dtype=torch.int64, device=self.sae.W_dec.device)
        self.history: list[dict[str, Any]] = []
        self.sparse_steps = 0
        self.flops: int | None = 0  # of its steps' matrix products; None if some are unknown
        self.seconds = 0.0

    @property
    def done(self) -> bool:
        return self.step >= self.run.train.steps

    def train_on(self, block: Block, stop: threading.Event) -> None:
        """Take the run's remaining steps in this block, until `stop` is set.

        Raises:
            TrainingDiverged: the loss is not finite.
        """
        started = time.perf_counter()
        last = min((block.index + 1) * block.shape.steps_per_block, self.run.train.steps)
        while self.step < last and not stop.is_set():
            with phase("step", self):
                self._train_step(block)
        self.seconds += time.perf_counter() - started

    def _train_step(self, block: Block) -> None:
        train, step = self.run.train, self.step
        if step in train.resample.steps:
            self._resample()
        x = block.batch(self.run.hook_name, step) * self.scale
        lr, coefficient = learning_rate(train, step), sparsity_coefficient(train, self.run.sparsity_coefficient, step)
        taken = self.sae.take_gradients(x, StepContext(coefficient, step, train.steps, self.steps_silent))
        self.optimizer.step(taken.gradients, lr)
        self.steps_silent.add_(1).masked_fill_(taken.fired(), 0)
        self.sparse_steps += taken.sparse
        self.flops = None if self.flops is None or taken.flops is None else self.flops + taken.flops
        self.step += 1
        if self.step % self.history_every == 0 or self.done:
            self._record(taken, lr, coefficient)

    def _resample(self) -> None:
        dead = torch.nonzero(self.steps_silent >= self.run.train.resample.window)[:, 0]
        inputs = self.calibration.activations * self.scale
        resample(self.sae, self.optimizer, inputs, dead, self.run.train.resample, self.generator)
        self.steps_silent[dead] = 0

    def _record(self, taken: Step, lr: float, coefficient: float) -> None:
        reconstruction, sparsity, auxiliary = taken.terms()
        total = reconstruction + coefficient * sparsity + auxiliary
        if not math.isfinite(total):
            raise TrainingDiverged(f"the loss is {total} at step {self.step}: a lower train.lr may train")
        silent = self.steps_silent >= self.run.train.resample.window
        dead = silent.sum().item() / len(silent)
        values = (
            self.step, self.step * self.run.train.batch, total, reconstruction, sparsity, auxiliary, taken.l0(), dead,
            lr, coefficient, self.sparse_steps,
        )  # fmt: skip
        self.history.append(dict(zip(HISTORY_COLUMNS, values, strict=True)))

    def save(self, folder: Path, kept: dict[str, Any]) -> None:
        """Write a checkpoint with `kept` in it: the position in the stream of contexts, the commit."""
        tensors = dict(self.sae.state_dict()) | self.optimizer.state()
        tensors |= {"steps_silent": self.steps_silent, "generator": self.generator.get_state()}
        counts = {"sparse_steps": self.sparse_steps, "training_flops": self.flops}
        state = {"history": self.history, "seconds": self.seconds, "kept": kept} | counts
        write_checkpoint(folder, self.step, tensors, state)

    def resume(self, folder: Path) -> dict[str, Any] | None:
        """Continue from the newest undamaged checkpoint, if there is one; returns its `kept`."""
        found = read_checkpoint(folder)
        if found is None:
            return None
        tensors, state = found
        device = self.sae.W_dec.device
        self.sae.load_state_dict({name: tensors[name] for name in self.sae.state_dict()})
        on_device = {name: tensor.to(device) for name, tensor in tensors.items() if name != "generator"}
        self.optimizer.load(on_device)
        self.steps_silent = on_device["steps_silent"]
        self.generator.set_state(tensors["generator"])
        self.step, self.history, self.seconds = state["step"], state["history"], state["seconds"]
        self.sparse_steps = state["sparse_steps"]
        self.flops = state.get("training_flops")  # an older checkpoint's steps were not counted
        return dict(state["kept"])
