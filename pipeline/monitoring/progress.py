"""What becomes of runs while they train: phases with their own progress, estimates of time, and a progress.json a run.

A pack's runs advance together, so that the last of them decides when a pack is trained. How it looks is said in
pipeline/monitoring/progress_shown.py.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.live import Live

from pipeline.config.schema import RunConfig
from pipeline.errors import LeaseLost, NotWritable
from pipeline.monitoring import progress_shown
from pipeline.monitoring.progress_shown import PHASES, Standing
from pipeline.records.identity import run_name
from pipeline.runtime.console import console
from pipeline.storage.files import remove, write_json
from pipeline.storage.layout import PROGRESS
from pipeline.training.trainer import Trainer

LINE_SECONDS, RUNS_EVERY, BEAT_SECONDS, STALE_SECONDS = 15.0, 4, 5.0, 60.0


class Progress:
    """Follows the runs of one command. Call from any thread.

    Args:
        now: seconds from any moment on.
    """

    def __init__(self, runs: Sequence[RunConfig], now: Callable[[], float] = time.monotonic) -> None:
        self.console, self.now = console(), now
        self.runs = {run_name(run): Standing(run.train.steps, run.train.batch) for run in runs}
        self._opened = time.time()
        self._printed = now()
        self._lines = 0
        self._ended = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._lock = threading.RLock()
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, get_renderable=self._table, transient=True)
            self._live.start()
        self._beats.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beats.join()
        if self._live:
            self._live.stop()

    # -------------------------------------------------------------------------------------------------------- events

    def say(self, message: str) -> None:
        with self._lock:
            self.console.print(message, markup=False)

    def note(self, run: RunConfig, message: str) -> None:
        self.say(f"{run_name(run)}: {message}")

    def enter(self, phase: str, runs: Sequence[tuple[RunConfig, Path]]) -> None:
        """These runs of one pack, with their folders, are in this phase now; what an earlier process said goes."""
        names = tuple(run_name(run) for run, _ in runs)
        with self._lock:
            for name, (_, folder) in zip(names, runs, strict=True):
                standing = self.runs[name]
                standing.state, standing.share, standing.phase_begun = phase, 0.0, self.now()
                standing.folder = folder
                if phase in {"loading", "evaluating"}:
                    standing.pack = names
                if phase == "evaluating":
                    standing.step = standing.steps  # also of a run that an earlier process trained
                if phase == "loading":
                    self._write(name)

    def begin(self, run: RunConfig, step: int) -> None:
        """A run's training starts now; steps that an earlier process took say nothing about this one's speed."""
        with self._lock:
            standing = self.runs[run_name(run)]
            standing.step, standing.begun, standing.advanced = step, (self.now(), step), self.now()
        if step:
            self.note(run, f"resumed at step {step:,} of {run.train.steps:,}")

    def advance(self, run: RunConfig, trainer: Trainer) -> None:
        with self._lock:
            standing = self.runs[run_name(run)]
            standing.step, standing.advanced = trainer.step, self.now()
            if trainer.history:
                standing.l0, standing.loss = trainer.history[-1]["l0"], trainer.history[-1]["loss"]

    def evaluated(self, runs: Sequence[RunConfig], share: float) -> None:
        """This share of the evaluation of these runs is behind them."""
        with self._lock:
            for run in runs:
                self.runs[run_name(run)].share = share

    def observe(self, name: str, told: dict[str, Any]) -> None:
        """What another process says of a run that it trains, in its progress.json; not what one left there before."""
        standing, written = self.runs[name], told.get("time", 0.0)
        if standing.folder or written < self._opened or told.get("phase") not in PHASES:
            return
        with self._lock:
            if time.time() - written > STALE_SECONDS:  # its process has died: the pack waits for another
                standing.state, standing.told = "waiting", None
                return
            step = told["step"]
            standing.state, standing.step, standing.share, standing.told = told["phase"], step, told["share"], told
            standing.l0, standing.loss = told["l0"], told["loss"]

    def failed(self, run: RunConfig, reason: str) -> None:
        self._settle(run_name(run), "failed")
        self.note(run, f"failed: {reason}")

    def finished(self, run: RunConfig, metrics: dict[str, Any]) -> None:
        self.runs[run_name(run)].step = run.train.steps
        self._settle(run_name(run), "done")
        self.note(run, f"done: L0 {metrics['l0']:.1f}, loss recovered {metrics['loss_recovered']:.4f}")

    def is_settled(self, name: str) -> bool:
        return name in self.runs and self.runs[name].state in {"done", "failed"}

    def _settle(self, name: str, state: str) -> None:
        with self._lock:
            self.runs[name].state = state
            folder, self.runs[name].folder = self.runs[name].folder, None
            if folder:
                with suppress(LeaseLost):  # another process's by now
                    remove(folder / PROGRESS)

    def _beat(self) -> None:
        """Every few seconds, also while a block is read or runs are evaluated: progress.json, and lines in a log."""
        while not self._ended.wait(BEAT_SECONDS):
            self.write()
            with self._lock:
                self._maybe_print()

    def write(self) -> None:
        """Bring the progress.json of each run that this process works on up to date."""
        with self._lock:
            for name, standing in self.runs.items():
                if standing.works:
                    self._write(name)

    def _write(self, name: str) -> None:
        standing = self.runs[name]
        if standing.folder:
            with suppress(LeaseLost, OSError, NotWritable):  # the pack meets it too, and says so
                write_json(standing.folder / PROGRESS, self.told(name) | {"time": time.time()})

    # ----------------------------------------------------------------------------------------------------- estimates

    def told(self, name: str) -> dict[str, Any]:
        """What progress.json holds; `eta_seconds` is of the phase that the run's pack is in."""
        standing = self.runs[name]
        return {
            "phase": standing.state, "step": standing.step, "steps": standing.steps, "share": standing.share,
            "l0": standing.l0, "loss": standing.loss, "steps_per_second": self.speed(name),
            "tokens_per_second": self.speed(name) * standing.batch, "eta_seconds": self.eta(name),
        }  # fmt: skip

    def speed(self, name: str) -> float:
        """Steps per second of one run in this process' training, with the time that its blocks of activations took."""
        standing = self.runs[name]
        if standing.told:
            return float(standing.told["steps_per_second"])
        if standing.begun is None or standing.state == "evaluating":
            return 0.0
        return (standing.step - standing.begun[1]) / max(standing.advanced - standing.begun[0], 1e-9)

    def eta(self, name: str) -> float | None:
        """Seconds until a run's pack has left its phase: until its last run is trained, or all are evaluated."""
        standing = self.runs[name]
        if standing.told:
            return float(left) if (left := standing.told["eta_seconds"]) is not None else None
        if standing.state == "evaluating":
            taken = self.now() - standing.phase_begun
            return taken * (1 - standing.share) / standing.share if standing.share else None
        left = [self._training_left(each) for each in standing.pack or (name,) if self.runs[each].works]
        return None if not left or None in left else max(seconds for seconds in left if seconds is not None)

    def _training_left(self, name: str) -> float | None:
        standing, speed = self.runs[name], self.speed(name)
        if standing.step >= standing.steps:
            return 0.0
        return max(0.0, (standing.steps - standing.step) / speed - (self.now() - standing.advanced)) if speed else None

    def eta_of_all(self) -> float | None:
        """Seconds until all runs are trained that are to be, those of waiting packs too, if as many go on at a time."""
        working = {name: self.eta(name) for name, each in self.runs.items() if each.works}
        known = [eta for eta in working.values() if eta is not None]
        left = sum(each.steps - each.step for each in self.runs.values() if each.works or each.state == "waiting")
        if not left:
            return max(known, default=None)
        in_training = {name for name in working if self.runs[name].state in {"activations", "training"}}
        if not in_training or any(working[name] is None for name in in_training):
            return None
        speed = sum(self.speed(name) for name in in_training if self.runs[name].step < self.runs[name].steps)
        waits = any(each.state in {"waiting", "loading"} for each in self.runs.values())
        return max([left / speed, *known]) if waits and speed else max(known)

    # --------------------------------------------------------------------------------------------------------- shown

    def summary(self) -> str:
        with self._lock:
            return progress_shown.summary(list(self.runs.values()), self.eta_of_all())

    def _maybe_print(self) -> None:
        if self._live or self.now() - self._printed < LINE_SECONDS:
            return
        self._printed = self.now()
        self._lines += 1
        self.say(f"{time.strftime('%H:%M:%S')} {self.summary()}")
        if self._lines % RUNS_EVERY == 0:
            for line in progress_shown.lines(self._working()):
                self.say(f"  {line}")

    def _working(self) -> dict[str, dict[str, Any]]:
        return {name: self.told(name) for name, standing in self.runs.items() if standing.works}

    def _table(self) -> Any:
        with self._lock:
            return progress_shown.table(self.summary(), self._working(), self.console.width)
