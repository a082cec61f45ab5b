"""The progress of runs while they train: their phases, estimates of time, and one progress.json per run.

A pack's runs advance together: the last of them decides when a pack is trained. pipeline/monitoring/progress_shown.py
says how it is shown.
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
from pipeline.monitoring.progress_shown import PHASES, RunProgress
from pipeline.records.identity import run_name
from pipeline.runtime.console import console
from pipeline.storage.files import remove, write_json
from pipeline.storage.layout import PROGRESS
from pipeline.training.trainer import Trainer

LINE_SECONDS, RUNS_EVERY, BEAT_SECONDS, STALE_SECONDS = 15.0, 4, 5.0, 60.0


class Progress:
    """Follows the runs of one command. Call from any thread.

    Args:
        now: seconds since any fixed moment.
    """

    def __init__(self, runs: Sequence[RunConfig], now: Callable[[], float] = time.monotonic) -> None:
        self.console, self.now = console(), now
        self.runs = {run_name(run): RunProgress(run.train.steps, run.train.batch) for run in runs}
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
        """These runs of one pack, with their folders, enter a phase; a report of an earlier process is replaced."""
        names = tuple(run_name(run) for run, _ in runs)
        with self._lock:
            for name, (_, folder) in zip(names, runs, strict=True):
                progress = self.runs[name]
                progress.state, progress.share, progress.phase_begun = phase, 0.0, self.now()
                progress.folder = folder
                if phase in {"loading", "evaluating"}:
                    progress.pack = names
                if phase == "evaluating":
                    progress.step = progress.steps  # also for a run that an earlier process trained
                if phase == "loading":
                    self._write(name)

    def begin(self, run: RunConfig, step: int) -> None:
        """A run's training starts now; steps of an earlier process do not count for the speed."""
        with self._lock:
            progress = self.runs[run_name(run)]
            progress.step, progress.begun, progress.advanced = step, (self.now(), step), self.now()
        if step:
            self.note(run, f"resumed at step {step:,} of {run.train.steps:,}")

    def advance(self, run: RunConfig, trainer: Trainer) -> None:
        with self._lock:
            progress = self.runs[run_name(run)]
            progress.step, progress.advanced = trainer.step, self.now()
            if trainer.history:
                progress.l0, progress.loss = trainer.history[-1]["l0"], trainer.history[-1]["loss"]

    def evaluated(self, runs: Sequence[RunConfig], share: float) -> None:
        """This share of these runs' evaluation is done."""
        with self._lock:
            for run in runs:
                self.runs[run_name(run)].share = share

    def observe(self, name: str, report: dict[str, Any]) -> None:
        """Take over what another process reports in its progress.json; an older report is ignored."""
        progress, written = self.runs[name], report.get("time", 0.0)
        if progress.folder or written < self._opened or report.get("phase") not in PHASES:
            return
        with self._lock:
            if time.time() - written > STALE_SECONDS:  # its process has died: the pack waits for another one
                progress.state, progress.reported = "waiting", None
                return
            progress.reported = report
            progress.state, progress.step, progress.share = report["phase"], report["step"], report["share"]
            progress.l0, progress.loss = report["l0"], report["loss"]

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
                with suppress(LeaseLost):  # taken over by another process
                    remove(folder / PROGRESS)

    def _beat(self) -> None:
        """Write progress.json and lines in the log every few seconds, also during blocks and evaluations."""
        while not self._ended.wait(BEAT_SECONDS):
            self.write()
            with self._lock:
                self._maybe_print()

    def write(self) -> None:
        """Update the progress.json of each run that this process works on."""
        with self._lock:
            for name, progress in self.runs.items():
                if progress.is_active:
                    self._write(name)

    def _write(self, name: str) -> None:
        progress = self.runs[name]
        if progress.folder:
            with suppress(LeaseLost, OSError, NotWritable):  # the pack fails in the same way, and reports it
                write_json(progress.folder / PROGRESS, self.report(name) | {"time": time.time()})

    # ----------------------------------------------------------------------------------------------------- estimates

    def report(self, name: str) -> dict[str, Any]:
        """The content of progress.json; `eta_seconds` is for the present phase of the run's pack."""
        progress = self.runs[name]
        return {
            "phase": progress.state, "step": progress.step, "steps": progress.steps, "share": progress.share,
            "l0": progress.l0, "loss": progress.loss, "steps_per_second": self.speed(name),
            "tokens_per_second": self.speed(name) * progress.batch, "eta_seconds": self.eta(name),
        }  # fmt: skip

    def speed(self, name: str) -> float:
        """Steps per second of one run in this process, including the time for its blocks of activations."""
        progress = self.runs[name]
        if progress.reported:
            return float(progress.reported["steps_per_second"])
        if progress.begun is None or progress.state == "evaluating":
            return 0.0
        return (progress.step - progress.begun[1]) / max(progress.advanced - progress.begun[0], 1e-9)

    def eta(self, name: str) -> float | None:
        """Seconds until the phase of a run's pack ends: until its last run is trained, or all are evaluated."""
        progress = self.runs[name]
        if progress.reported:
            return float(left) if (left := progress.reported["eta_seconds"]) is not None else None
        if progress.state == "evaluating":
            taken = self.now() - progress.phase_begun
            return taken * (1 - progress.share) / progress.share if progress.share else None
        left = [self._training_left(each) for each in progress.pack or (name,) if self.runs[each].is_active]
        return None if not left or None in left else max(seconds for seconds in left if seconds is not None)

    def _training_left(self, name: str) -> float | None:
        progress, speed = self.runs[name], self.speed(name)
        if progress.step >= progress.steps:
            return 0.0
        return max(0.0, (progress.steps - progress.step) / speed - (self.now() - progress.advanced)) if speed else None

    def eta_of_all(self) -> float | None:
        """Seconds until all runs are trained, including waiting packs, if as many train in parallel as now."""
        working = {name: self.eta(name) for name, each in self.runs.items() if each.is_active}
        known = [eta for eta in working.values() if eta is not None]
        left = sum(each.steps - each.step for each in self.runs.values() if each.is_active or each.state == "waiting")
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
        return {name: self.report(name) for name, progress in self.runs.items() if progress.is_active}

    def _table(self) -> Any:
        with self._lock:
            return progress_shown.table(self.summary(), self._working(), self.console.width)
