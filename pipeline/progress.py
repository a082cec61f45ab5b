"""What a person sees while runs train: a live table on a terminal, lines in a log file; and a progress.json a run."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from pipeline.clock import clock
from pipeline.config import RunConfig
from pipeline.console import console
from pipeline.errors import LeaseLost, NotWritable
from pipeline.files import write_json
from pipeline.identity import run_name
from pipeline.training.trainer import Trainer

LINE_SECONDS, RUNS_EVERY, BEAT_SECONDS, ROWS_SHOWN = 15.0, 4, 5.0, 20


class Progress:
    """Follows the runs of one command. Call from any thread."""

    def __init__(self, runs: Sequence[RunConfig]) -> None:
        self.console = console()
        self.steps = {run_name(run): 0 for run in runs}
        self.total = {run_name(run): run.train.steps for run in runs}
        self.state = dict.fromkeys(self.steps, "waiting")
        self.latest: dict[str, dict[str, Any]] = {}
        self._printed = time.monotonic()
        self._begun: dict[str, tuple[float, int]] = {}
        self._folders: dict[str, Path] = {}
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

    def begin(self, run: RunConfig, step: int) -> None:
        """A run's training starts now; steps that an earlier process took say nothing about this one's speed."""
        with self._lock:
            self.steps[run_name(run)] = step
            self._begun[run_name(run)] = (time.monotonic(), step)
        if step:
            self.note(run, f"resumed at step {step:,} of {run.train.steps:,}")

    def advance(self, run: RunConfig, folder: Path, trainer: Trainer) -> None:
        name = run_name(run)
        with self._lock:
            self.steps[name] = trainer.step
            self.state[name] = "trained" if trainer.done else "running"
            last = trainer.history[-1] if trainer.history else {}
            self.latest[name] = {
                "step": trainer.step, "steps": run.train.steps, "l0": last.get("l0"), "loss": last.get("loss"),
                "tokens_per_second": self.speed(name) * run.train.batch, "eta_seconds": self.eta(name),
            }  # fmt: skip
            self._folders[name] = folder

    def observe(self, name: str, latest: dict[str, Any]) -> None:
        """What another process says of a run that it trains, in its progress.json."""
        with self._lock:
            self._begun.setdefault(name, (time.monotonic(), latest["step"]))
            self.steps[name], self.latest[name], self.state[name] = latest["step"], latest, "running"

    def failed(self, run: RunConfig, reason: str) -> None:
        self._settle(run_name(run), "failed")
        self.note(run, f"failed: {reason}")

    def finished(self, run: RunConfig, metrics: dict[str, Any]) -> None:
        self.steps[run_name(run)] = run.train.steps
        self._settle(run_name(run), "done")
        self.note(run, f"done: L0 {metrics['l0']:.1f}, loss recovered {metrics['loss_recovered']:.4f}")

    def _settle(self, name: str, state: str) -> None:
        with self._lock:
            self.state[name] = state
            if name in self._folders:
                (self._folders[name] / "progress.json").unlink(missing_ok=True)

    def _beat(self) -> None:
        """Every few seconds, also while a block is read or runs are evaluated: progress.json, and lines in a log."""
        while not self._ended.wait(BEAT_SECONDS):
            with self._lock:
                for name, folder in self._folders.items():
                    if self.state[name] in {"running", "trained"}:
                        with suppress(LeaseLost, OSError, NotWritable):  # the pack meets it too, and says so
                            write_json(folder / "progress.json", self.latest[name] | {"time": time.time()})
                self._maybe_print()

    # --------------------------------------------------------------------------------------------------------- speed

    def speed(self, name: str | None = None) -> float:
        """Steps a second, of one run or of all, since it, or the first of them, began here."""
        names = list(self._begun) if name is None else [name]
        steps = sum(self.steps[n] - self._begun[n][1] for n in names)
        return steps / max(time.monotonic() - min((self._begun[n][0] for n in names), default=0.0), 1e-9)

    def eta(self, name: str | None = None) -> float | None:
        """Seconds left of one run, or of all that this command trains."""
        left = [self.total[n] - self.steps[n] for n in ([name] if name else self.steps) if self.state[n] != "failed"]
        speed = self.speed(name)
        return sum(left) / speed if speed else None

    def summary(self) -> str:
        done = sum(state == "done" for state in self.state.values())
        trained = sum(self.steps.values()) / max(1, sum(self.total.values()))
        failed = sum(state == "failed" for state in self.state.values())
        tail = f", {failed} failed" if failed else ""
        return f"{done}/{len(self.state)} runs recorded{tail} | {trained:.0%} of all steps | ETA {clock(self.eta())}"

    def _maybe_print(self) -> None:
        if self._live or time.monotonic() - self._printed < LINE_SECONDS:
            return
        self._printed = time.monotonic()
        self._lines += 1
        self.say(f"{time.strftime('%H:%M:%S')} {self.summary()}")
        if self._lines % RUNS_EVERY:
            return
        for name, state in self.state.items():
            if state == "running":
                self.say(f"  {name} {self._line(name)}")

    def _line(self, name: str) -> str:
        now = self.latest[name]
        l0 = "-" if now["l0"] is None else f"{now['l0']:.1f}"
        loss = "-" if now["loss"] is None else f"{now['loss']:.4g}"
        return f"step {now['step']:,}/{now['steps']:,} L0 {l0} loss {loss} ETA {clock(now['eta_seconds'])}"

    def _table(self) -> Table:
        table = Table(title=self.summary(), title_justify="left", box=None)
        for column in ("run", "state", "step", "L0", "loss", "SAE tokens/s", "ETA"):
            table.add_column(column, justify="left" if column in {"run", "state"} else "right", no_wrap=True)
        with self._lock:
            shown = [name for name, state in self.state.items() if state == "running"][:ROWS_SHOWN]
            for name in shown:
                now = self.latest[name]
                table.add_row(
                    name, self.state[name], f"{now['step']:,}/{now['steps']:,}", f"{now['l0'] or 0:.1f}",
                    f"{now['loss'] or 0:.4g}", f"{now['tokens_per_second']:,.0f}", clock(now["eta_seconds"]),
                )  # fmt: skip
        return table
