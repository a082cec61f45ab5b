"""Kill training with SIGKILL again and again, resume it, and compare with never killed: `make kill100`.

Every victim is forked from a process that has imported everything and used no thread, so that a life takes seconds.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
import torch
import transformer_lens.model_bridge  # noqa: F401  imported once, for all victims

from pipeline.config.schema import RunConfig
from pipeline.records import record
from pipeline.records.identity import git_state
from pipeline.storage.files import digest
from tests.kills.victim import PHASES, Phase, launched, runs, train
from tests.launching.sweeps import SAME, assert_same_runs
from tests.tiny import save_tiny_model, save_tiny_text

AIMED = ("checkpoint", "block", "resampling", "evaluation", "record")
ALSO = ("lease", "configuration", "weights", "execution")
"""Shorter moments, aimed at half as often."""
DEPTHS = (0.004, 0.012, 0.03)
"""Seconds into a phase: a rename takes six milliseconds here, and a phase may have several."""
LIFE_SECONDS = 120.0
FRUITLESS = 40
"""Lives of one sweep, and kills beyond those wanted, after which something is wrong."""


@dataclass
class Kills:
    """Kills to be made: so many in each phase that is aimed at, the rest at any instant."""

    wanted: int
    each: int
    folder: Path
    random: random.Random
    fell: Counter[str] = field(default_factory=Counter)
    packs: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    lifetime: float = 4.0  # of a victim that nobody kills, about

    def __post_init__(self) -> None:
        self.phase = Phase()
        self.model, self.text = self.folder / "model", self.folder / "text"
        self.folder.joinpath("text").mkdir(parents=True)
        self._whole(lambda: save_tiny_model(self.model))
        self._whole(lambda: save_tiny_text(self.text))
        self.runs = runs(self.model, self.text)
        git_state()  # kept from here on: records of all victims say the same of the code
        self.undisturbed = self.folder / "undisturbed"
        began = time.monotonic()
        self._whole(lambda: train(self.runs, self.undisturbed))
        self.lifetime = time.monotonic() - began

    @property
    def count(self) -> int:
        return sum(self.fell.values())

    def few(self) -> list[str]:
        """Phases that want more kills."""
        half = -(-self.each // 2)
        return [p for p in AIMED if self.fell[p] < self.each] + [p for p in ALSO if self.fell[p] < half]

    @property
    def enough(self) -> bool:
        return self.count >= self.wanted + FRUITLESS or (self.count >= self.wanted and not self.few())

    def make(self) -> None:
        """Raises AssertionError where anything differs from never killed, or a victim ends by anything but a kill."""
        number = 0
        while not self.enough:
            number += 1
            sweeps = self.folder / f"sweep-{number}"
            chosen = self.runs if number % 3 else [self.random.choice(self.runs)]
            self._lives(chosen, sweeps, "pack" if len(chosen) > 1 else "alone")
            self._assert_as_never_killed(chosen, sweeps)
            self.sweeps += 1

    def _lives(self, chosen: Sequence[RunConfig], sweeps: Path, kind: str) -> None:
        """Train, be killed and go on, in packs of changing composition, until all is recorded."""
        for _ in range(FRUITLESS):
            present = chosen if self.random.random() < 0.7 else self.random.sample(chosen, max(1, len(chosen) // 2))
            work = self.random.choice((train, launched))
            died = self._life(lambda: work(present, sweeps), self._next_aim())  # noqa: B023
            if died is not None:
                self.fell[died] += 1
                self.packs[kind] += 1
            if self.enough or all((record.run_folder(sweeps, r) / record.METRICS).is_file() for r in chosen):
                break
        self._whole(lambda: launched(chosen, sweeps))

    def _assert_as_never_killed(self, chosen: Sequence[RunConfig], sweeps: Path) -> None:
        names = [record.run_folder(sweeps, run).name for run in self.runs]
        others = [name for run, name in zip(self.runs, names, strict=True) if run not in chosen]
        assert_same_runs(self.undisturbed, sweeps, but=others)
        shared = list((sweeps / "shared").glob("*.safetensors"))
        assert len(shared) == len(list((self.undisturbed / "shared").glob("*.safetensors"))), sweeps
        for path in [*shared, *sweeps.glob(f"runs/*/{record.METRICS}")]:  # records with all that they say of the code
            assert path.read_bytes() == (self.undisturbed / path.relative_to(sweeps)).read_bytes(), path
        for path in sweeps.glob("noted/*.json"):
            whole = {name: digest((self.undisturbed / "runs" / path.stem / name).read_bytes()) for name in SAME}
            assert json.loads(path.read_text()) == whole, f"{path.stem}: not all was there when its record appeared"
        assert not list(sweeps.glob(f"runs/*/{record.FAILURE}")), f"{sweeps}: a run failed"

    def _next_aim(self) -> str | None:
        """A phase that wants more kills; when all have theirs, any instant."""
        left = self.few()
        return self.random.choice(left) if left else None

    def _life(self, work: Callable[[], None], aim: str | None) -> str | None:
        """One victim: killed at a random moment of the phase aimed at, or at any. The phase it died in, if it did."""
        victim = self._fork(work)
        entries, wait = self.random.randint(1, 3), self.random.uniform(0, self.random.choice(DEPTHS))
        deadline = time.monotonic() + (LIFE_SECONDS if aim else self.random.uniform(0, self.lifetime))
        before = ""
        while time.monotonic() < deadline:
            ended, status = os.waitpid(victim, os.WNOHANG)
            if ended:
                self._assert_good(status)
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
        if os.WIFSIGNALED(status):
            return self.phase.read()
        self._assert_good(status)
        return None

    def _whole(self, work: Callable[[], object]) -> None:
        self._assert_good(os.waitpid(self._fork(work), 0)[1])

    def _assert_good(self, status: int) -> None:
        log = (self.folder / "log.txt").read_text()
        assert status == 0, f"a victim that nobody killed ended with status {status}:\n{log[-3000:]}"

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
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def report(self) -> str:
        where = ", ".join(f"{self.fell[phase]} {phase}" for phase in PHASES if self.fell[phase])
        packs = f"{self.packs['pack']} in packs, {self.packs['alone']} alone"
        return f"{self.count} kills ({where}; {packs}) in the lives of {self.sweeps} sweeps"


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
        except (AssertionError, OSError) as error:  # OSError: a file that never killed has is absent
            print(f"kill{options.kills}: {kills.report()}: NOT as never killed: {error}")
            return 1
    few = kills.few()
    verdict = f"too few in {', '.join(few)}" if few else "weights and records as never killed, bit for bit"
    print(f"kill{options.kills}: {kills.report()}, {time.monotonic() - began:.0f} s: {verdict}")
    return 1 if few else 0


if __name__ == "__main__":
    sys.exit(main())
