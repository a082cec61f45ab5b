"""Sweeps on the tiny model, launched as users do, for tests that disturb them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.records import record
from pipeline.storage.reading import whole_object

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = [sys.executable, "pipeline/run.py", "-m"]
SAME = (
    "sae_weights.safetensors", "cfg.json", "config.yaml", record.METRICS, record.SEQUENCES, record.HISTORY,
)  # fmt: skip


LONG = 3000
"""Steps: some ten seconds, in which there is time to disturb."""


def arguments(model: Path, text: Path, folder: Path, *more: str, steps: int = LONG) -> list[str]:
    """Four runs of both architectures, in one pack, that write below `folder`; checkpoints twice a second."""
    placed = any(word.startswith(("hydra/launcher=", "hydra.launcher.slots=")) for word in more)
    return [
        "model=local", f"model.path={model}", "model.context=32", "data=files", f"data.path={text}",
        f"execution.sweeps_dir={folder}", "execution.checkpoint_seconds=0.5", "execution.threads=1",
        "site=mlp_out", "layer=1",
        f"train.steps={steps}", "train.batch=32", "train.block=600", "train.lm_batch=4", "train.calibration=300",
        "train.lr_warmup=5", "eval.sequences=8", "eval.batch=4", "architecture=baseline,gated",
        "sparsity_coefficient=2,4", "sweep_name=tiny",
        *([] if placed else ["hydra.launcher.slots=1"]), *more,
    ]  # fmt: skip


def start(words: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RUN, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str]:
    """Exit code and all output."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"not at its end after {seconds:g} s:\n{output}") from None
    return process.returncode, output


def launch(words: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    return finish(start(words, environment))


def wait_for(holds: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not so after {seconds:g} s"
        time.sleep(0.05)


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process prints up to a line with these words."""
    assert process.stdout
    read = ""
    for line in process.stdout:
        read += line
        if words in line:
            return
    raise AssertionError(f"{words!r} is not in:\n{read}")


def tasks(folder: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((folder / "tiny" / "tasks.json").read_text())["tasks"]
    except FileNotFoundError:
        return []


def lease(folder: Path) -> dict[str, Any] | None:
    return whole_object(folder / "lease.json")


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob("runs/*/checkpoints/*.json"))


def content(path: Path) -> bytes:
    """A file's bytes; of a record all but its provenance, where the code may differ, and the checksum over it."""
    if path.name != record.METRICS:
        return path.read_bytes()
    return json.dumps(
        {k: v for k, v in json.loads(path.read_text()).items() if k not in {"provenance", "sha256"}}
    ).encode()


def assert_same_runs(one: Path, other: Path, but: Sequence[str] = ()) -> None:
    """All runs have the same bytes in weights, record, sums and history."""
    names = sorted(path.name for path in (one / "runs").iterdir() if path.name not in but)
    assert names and names == sorted(path.name for path in (other / "runs").iterdir() if path.name not in but)
    for name in names:
        for file in SAME:
            assert content(one / "runs" / name / file) == content(other / "runs" / name / file), (name, file)


class Culprit:
    """Kills whatever process takes the run whose name has `part` in it, while the block runs."""

    def __init__(self, folder: Path, part: str) -> None:
        self.folder, self.part = folder, part
        self.killed: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Culprit":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            for run in self.folder.glob(f"runs/*{self.part}*"):
                held = lease(run)
                begun = (run / "log.txt").is_file()
                if begun and held and not held["ended"] and held["pid"] not in self.killed:
                    if b"pipeline/run.py" in Path(f"/proc/{held['pid']}/cmdline").read_bytes():
                        continue  # the launcher itself, which writes the failure record
                    self.killed.append(held["pid"])
                    os.kill(held["pid"], signal.SIGKILL)
