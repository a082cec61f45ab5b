"""A process that trains a pack and says at every moment what it is doing, in one byte that its killer reads."""

import json
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config.launcher import LocalOptions
from pipeline.config.schema import (
    ResampleConfig,
    RunConfig,
    TrainConfig,
)
from pipeline.launching.launch import LaunchTarget, launch
from pipeline.launching.this_process import ThisProcess
from pipeline.monitoring.progress import Progress
from pipeline.pack import Pack, evaluation, training
from pipeline.records import record
from pipeline.sae.architectures.baseline import BaselineConfig
from pipeline.sae.architectures.gated import GatedConfig
from pipeline.storage import lease
from pipeline.storage.files import digest
from pipeline.training import trainer
from tests.factories import execution, jobs, tiny_run
from tests.launching.sweeps import SAME

PHASES = (
    "elsewhere", "training", "lease", "configuration", "block", "resampling", "checkpoint", "weights", "evaluation",
    "execution", "record",
)  # fmt: skip
"""`resampling` lasts until the learning rate is warm again, `weights` from the SAE to its history, and `record` is the
renaming of metrics.json; `lease`, `configuration` and `execution` are the making of those files."""
SLOWLY = 0.003
"""Seconds before and after each rename: else hardly any kill would meet one."""
TRAIN = TrainConfig(
    steps=90, batch=32, lr=3e-2, lr_warmup=5, block=600, lm_batch=4, calibration=300,
    resample=ResampleConfig(steps=(25, 60), window=5, inputs=200, lr_warmup=12),
)  # fmt: skip


def runs(model: Path, text: Path) -> list[RunConfig]:
    """Both architectures at two lambdas; five blocks, two resamplings."""
    first = tiny_run(model, text, train=TRAIN)
    arms = (GatedConfig(expansion=4.0), BaselineConfig(expansion=6.0))
    return [replace(first, architecture=arm, sparsity_coefficient=value) for arm in arms for value in (2.0, 10.0)]


def train(chosen: Sequence[RunConfig], sweeps_dir: Path, stop: threading.Event | None = None) -> None:
    """The pack by itself."""
    with Progress(chosen) as progress:
        Pack(chosen, execution(sweeps_dir), progress, stop or threading.Event()).execute()


def launched(chosen: Sequence[RunConfig], sweeps_dir: Path) -> None:
    """The same as the command line does it: a sweep with its manifest and tasks, or a single run.

    A sweep's packs too are trained in this very process, since it is the one that dies.
    """
    options = LocalOptions(poll_seconds=0.05) if len(chosen) > 1 else None
    assert launch(jobs(chosen, sweeps_dir, "kills"), options, extend=True)


def _note_what_is_there(folder: Path) -> None:
    """The record says that all is there: digests of all at this instant, in sweeps/noted/."""
    noted = folder.parent.parent / "noted" / f"{folder.name}.json"
    noted.parent.mkdir(exist_ok=True)
    digests = {path.name: digest(path.read_bytes()) for path in folder.iterdir() if path.name in SAME}
    noted.with_suffix(".tmp").write_text(json.dumps(digests))
    os.rename(noted.with_suffix(".tmp"), noted)  # noqa: PTH104  Path.replace is marked above


class Phase:
    """The byte, shared with the parent of a fork."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def read(self) -> str:
        return PHASES[self._shared[0]]

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        before, self._shared[0] = self._shared[0], PHASES.index(name)
        try:
            yield
        finally:
            self._shared[0] = before

    def start(self) -> None:
        """Mark what this process does from now on, around the project's own functions."""
        self._shared[0] = 0
        trainer.write_checkpoint = self._marked("checkpoint", trainer.write_checkpoint)  # type: ignore[attr-defined]
        training.read_block = self._marked("block", training.read_block)  # type: ignore[attr-defined]
        trainer.resample = self._marked("resampling", trainer.resample)  # type: ignore[attr-defined]
        evaluation.evaluate = self._marked("evaluation", evaluation.evaluate)  # type: ignore[attr-defined]
        evaluation.references = self._marked("evaluation", evaluation.references)  # type: ignore[attr-defined]
        record.start_run = self._marked("configuration", record.start_run)
        record.write_training = self._marked("weights", record.write_training)
        record.write_execution = self._marked("execution", record.write_execution)
        lease.Leases._take = self._marked("lease", lease.Leases._take)  # type: ignore[method-assign]
        lease.Leases.__init__.__defaults__ = (0.5,)  # seconds that the claim of a killed process is respected; else 20
        LaunchTarget.executor = lambda _, *given: ThisProcess(*given)  # type: ignore[method-assign]
        self._mark_steps()
        self._mark_renames()

    def _marked(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def marked(*arguments: Any, **named: Any) -> Any:
            with self.inside(name):
                return function(*arguments, **named)

        return marked

    def _mark_steps(self) -> None:
        take_step = trainer.Trainer._train_step

        def marked(self_: trainer.Trainer, block: Any) -> None:
            resample = self_.run.train.resample
            warming = any(0 <= self_.step - step < resample.lr_warmup for step in resample.steps)
            with self.inside("resampling" if warming else "training"):
                take_step(self_, block)

        trainer.Trainer._train_step = marked  # type: ignore[method-assign]

    def _mark_renames(self) -> None:
        rename = Path.replace

        def marked(path: Path, target: Path) -> Path:
            if threading.current_thread() is not threading.main_thread():
                return rename(path, target)  # a heartbeat, beside what the byte says
            name = "record" if Path(target).name == record.METRICS else self.read()
            with self.inside(name):
                time.sleep(SLOWLY)
                renamed = rename(path, target)
                if name == "record":
                    _note_what_is_there(Path(target).parent)
                time.sleep(SLOWLY)
            return renamed

        Path.replace = marked  # type: ignore[method-assign]
