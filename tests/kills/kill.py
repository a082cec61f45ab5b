"""Kill training with SIGKILL again and again, resume it, and compare with never killed: `make kill100`.

Every victim is forked from a process that has imported everything and used no thread, so that a life takes seconds.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pipeline  # noqa: F401  before torch: it sets what MKL and OpenMP read once

# isort: split
import torch
import transformer_lens.model_bridge  # noqa: F401  imported once, for all victims

from pipeline import record
from pipeline.config import RunConfig
from tests.kills.victim import PHASES, Phase, runs, train
from tests.launching.sweeps import assert_same_runs
from tests.tiny import save_tiny_model, save_tiny_text

AIMED = ("checkpoint", "block", "resampling", "evaluation", "record")
LIFE_SECONDS = 120.0


@dataclass
class Kills:
    """Kills to be made: so many in each phase that is aimed at, the rest at any instant."""

    wanted: int
    each: int
    folder: Path
    random: random.Random
    fell: Counter[str] = field(default_factory=Counter)
    packs: Counter[str] = field(default_factory=Counter)
    lifetime: float = 4.0  # of a victim that nobody kills, about

    def __post_init__(self) -> None:
        self.phase = Phase()
        self.model, self.text = self.folder / "model", self.folder / "text"
        self.folder.joinpath("text").mkdir(parents=True)
        self._whole(lambda: save_tiny_model(self.model))
        self._whole(lambda: save_tiny_text(self.text))
        self.runs = runs(self.model, self.text)
        self.undisturbed = self.folder / "undisturbed"
        began = time.monotonic()
        self._whole(lambda: train(self.runs, self.undisturbed))
        self.lifetime = time.monotonic() - began

    def make(self) -> None:
        """Raises AssertionError where anything differs from never killed."""
        number = 0
        while sum(self.fell.values()) < self.wanted:
            number += 1
            sweeps = self.folder / f"sweep-{number}"
            chosen = self.runs if number % 3 else [self.random.choice(self.runs)]
            self._lives(chosen, sweeps, "pack" if len(chosen) > 1 else "alone")
            names = [record.run_folder(sweeps, run).name for run in self.runs]
            others = [name for run, name in zip(self.runs, names, strict=True) if run not in chosen]
            assert_same_runs(self.undisturbed, sweeps, but=others)
            self._assert_same_references(sweeps)

    def _lives(self, chosen: Sequence[RunConfig], sweeps: Path, kind: str) -> None:
        """Train, be killed and go on, in packs of changing composition, until all is recorded."""
        for _ in range(40):
            present = chosen if self.random.random() < 0.7 else self.random.sample(chosen, max(1, len(chosen) // 2))
            died = self._life(lambda: train(present, sweeps), self._next_aim())  # noqa: B023
            if died is not None:
                self.fell[died] += 1
                self.packs[kind] += 1
            if all((record.run_folder(sweeps, run) / record.METRICS).is_file() for run in chosen):
                return
            if sum(self.fell.values()) >= self.wanted:
                break
        self._whole(lambda: train(chosen, sweeps))

    def _next_aim(self) -> str | None:
        left = [phase for phase in AIMED if self.fell[phase] < self.each]
        return self.random.choice(left) if left else None

    def _life(self, work: Callable[[], None], aim: str | None) -> str | None:
        """One victim: killed at a random moment of the phase aimed at, or at any. The phase it died in, if it did."""
        victim = self._fork(work)
        entries, wait = self.random.randint(1, 3), self.random.uniform(0, 0.004)
        deadline = time.monotonic() + (LIFE_SECONDS if aim else self.random.uniform(0, self.lifetime))
        before = ""
        while time.monotonic() < deadline:
            if os.waitpid(victim, os.WNOHANG)[0]:
                return None  # it came to its end before
            now = self.phase.read()
            if now == aim and now != before:
                entries -= 1
                if entries <= 0:
                    time.sleep(wait)
                    break
            before = now
            time.sleep(0.0002)
        os.kill(victim, signal.SIGKILL)
        status = os.waitpid(victim, 0)[1]
        return self.phase.read() if os.WIFSIGNALED(status) else None

    def _whole(self, work: Callable[[], object]) -> None:
        status = os.waitpid(self._fork(work), 0)[1]
        assert status == 0, f"a victim that nobody killed ended with status {status}"

    def _fork(self, work: Callable[[], object]) -> int:
        victim = os.fork()
        if victim:
            return victim
        code = 1
        try:
            torch.set_num_threads(1)
            with (self.folder / "log.txt").open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            self.phase.start()
            work()
            code = 0
        finally:
            os._exit(code)

    def _assert_same_references(self, sweeps: Path) -> None:
        for path in (sweeps / "shared").glob("*.safetensors"):
            assert path.read_bytes() == (self.undisturbed / "shared" / path.name).read_bytes(), path.name

    def report(self) -> str:
        where = ", ".join(f"{self.fell[phase]} {phase}" for phase in PHASES if self.fell[phase])
        return f"{sum(self.fell.values())} kills ({where}; {self.packs['pack']} in packs, {self.packs['alone']} alone)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--each", type=int, default=10, help="at the least, in each phase that is aimed at")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        kills = Kills(options.kills, options.each, Path(folder), random.Random(options.seed))
        try:
            kills.make()
        except AssertionError as error:
            print(f"kill{options.kills}: {kills.report()}: NOT as never killed: {error}")
            return 1
    few = [phase for phase in AIMED if kills.fell[phase] < options.each]
    verdict = f"too few in {', '.join(few)}" if few else "weights and records as never killed, bit for bit"
    print(f"kill{options.kills}: {kills.report()}, {time.monotonic() - began:.0f} s: {verdict}")
    return 1 if few else 0


if __name__ == "__main__":
    sys.exit(main())
