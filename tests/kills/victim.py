"""A process that trains a pack and says at every moment what it is doing, in one byte that its killer reads."""

import json
import mmap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from pipeline.config.launcher import LocalOptions
from pipeline.config.schema import (
    ResampleConfig,
    RunConfig,
    TrainConfig,
)
from pipeline.launching import launch as launching
from pipeline.launching.executors.this_process import ThisProcess
from pipeline.launching.launch import launch
from pipeline.monitoring.progress import Progress
from pipeline.pack import Pack
from pipeline.records import record
from pipeline.sae.architectures.baseline import BaselineConfig
from pipeline.sae.architectures.gated import GatedConfig
from pipeline.storage import lease, phases
from pipeline.storage.files import digest
from pipeline.training.trainer import Trainer
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
    noted.with_suffix(".tmp").replace(noted)


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
        """Follow what this process does from now on."""
        self._shared[0] = 0
        phases.listen(self._during)
        lease.PATIENCE_SECONDS = 0.5  # for the claim of a killed process
        launching.choose_executor = lambda options, execution, _: ThisProcess(options or LocalOptions(), execution)

    def _during(self, name: str, about: object) -> AbstractContextManager[None]:
        if threading.current_thread() is not threading.main_thread():
            return nullcontext()  # a heartbeat's rename, next to what the byte says
        if name == "step":
            assert isinstance(about, Trainer)
            return self.inside("resampling" if _is_warming_up(about) else "training")
        if name == "rename":
            assert isinstance(about, Path)
            return self._rename(about)
        return self.inside(name)

    @contextmanager
    def _rename(self, path: Path) -> Iterator[None]:
        name = "record" if path.name == record.METRICS else self.read()
        with self.inside(name):
            time.sleep(SLOWLY)
            yield
            if name == "record":
                _note_what_is_there(path.parent)
            time.sleep(SLOWLY)


def _is_warming_up(trainer: Trainer) -> bool:
    resample = trainer.run.train.resample
    return any(0 <= trainer.step - step < resample.lr_warmup for step in resample.steps)
