"""A process that has lost its lease on a run changes nothing there: no file that a run writes or removes."""

import functools
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.schema import RunConfig, TrackerConfig
from pipeline.errors import LeaseLost
from pipeline.monitoring import progress as progress_module
from pipeline.monitoring.progress import Progress
from pipeline.pack import Pack, pack
from pipeline.records import record
from pipeline.storage.files import append_line, remove, remove_folder, write_bytes
from pipeline.storage.layout import LEASE
from pipeline.storage.lease import Leases, _fence, read_lease
from pipeline.training.trainer import Trainer
from tests.factories import execution
from tests.kills.victim import runs

LIFE = {
    "lease.json", ".lease-1.claim", "config.yaml", "failure.json", "log.txt", "checkpoints", "checkpoints/step.json",
    "checkpoints/step.safetensors", "progress.json", "tensorboard", "tensorboard/events", "history.csv",
    "sae_weights.safetensors", "cfg.json", "sequences.safetensors", "execution.json", "metrics.json", "evaluation",
    "evaluation/sequences.safetensors", "evaluation/metrics.json",
}  # fmt: skip
"""What a run's folder sees written or removed, hashes, steps and hosts left out."""
CHANGES = {
    "open": 0, "os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.link": 1, "os.symlink": 1,
    "os.truncate": 0, "os.utime": 0, "shutil.rmtree": 0,
}  # fmt: skip
"""Events of `sys.addaudithook` that change a disk, and which of their arguments is the path that is changed."""
_listeners: list[Callable[[str, str], None]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _listeners and event in CHANGES:
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        paths = [arguments[CHANGES[event]]] + ([arguments[0]] if event == "os.rename" else [])
        for path in paths:
            if not isinstance(path, int):
                for listener in list(_listeners):
                    listener(event, os.fsdecode(path))


sys.addaudithook(_hear)


@contextmanager
def listening(listener: Callable[[str, str], None]) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def succeed(folder: Path) -> None:
    """What another process does that takes the folder over: its lease first, then our folder of unfinished files."""
    lease = (read_lease(folder) or {}) | {"attempt": 9, "host": "other", "pid": 1}
    (folder / LEASE).write_text(json.dumps(lease))
    shutil.rmtree(_fence(folder))


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    folders = {str(path): (b"", 0) for path in folder.rglob("*") if path.is_dir()}
    return folders | {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def loaded() -> Iterator[None]:
    """The tiny model is loaded once, and progress.json is written all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "load_language_model", functools.lru_cache(pack.load_language_model))
        patch.setattr(progress_module, "BEAT_SECONDS", 0.005)
        yield


@pytest.fixture
def run(tiny_model: Path, tiny_text: Path) -> RunConfig:
    first = runs(tiny_model, tiny_text)[0]
    return replace(first, train=replace(first.train, steps=60, resample=replace(first.train.resample, steps=(25,))))


def train(run: RunConfig, sweeps_dir: Path, tracker: str = "none") -> None:
    with Progress([run]) as shown:
        Pack([run], execution(sweeps_dir), shown, threading.Event(), tracker=TrackerConfig(name=tracker)).execute()


def fail(*_: object) -> None:
    raise ValueError("planned")


def without_names(path: str) -> str:
    """A path below a run's folder without its steps, hashes and hosts."""
    head, *tail = path.split("/")
    if head.startswith("evaluation-"):
        head = "evaluation"
    if head == "checkpoints" and tail:
        tail = [f"step{Path(tail[0]).suffix}"]
    if head == "tensorboard" and tail:
        tail = ["events"]
    return "/".join([head, *tail])


def test_the_list_is_whole_and_all_but_a_log_goes_through_the_lease(loaded, run, tmp_path, monkeypatch):
    """One run's life: it fails, is trained, checkpointed, resampled, evaluated, and evaluated otherwise."""
    pytest.importorskip("tensorboard")
    folder, seen, straight = record.run_folder(tmp_path, run), set(), set()

    def listen(event: str, path: str) -> None:
        if not path.startswith(f"{folder}/"):
            return
        name = path.removeprefix(f"{folder}/")
        if not name.startswith((".unfinished-", ".fenced-")) and not name.endswith(".tmp"):
            seen.add(without_names(name))
            if event != "os.rename":
                straight.add(without_names(name))

    with listening(listen):
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train_on", fail)
            train(run, tmp_path, "tensorboard")
        assert (folder / "failure.json").is_file()
        train(run, tmp_path, "tensorboard")
        train(replace(run, eval=replace(run.eval, sequences=8)), tmp_path)
    assert seen == LIFE
    beside = {".lease-1.claim", "log.txt", "tensorboard", "tensorboard/events", "checkpoints", "evaluation"}
    assert straight == beside, "all else is renamed out of, or into, the folder that a successor takes away"


def writes(folder: Path) -> dict[str, Callable[[], object]]:
    """Every way of changing a run's folder."""
    return {
        "a new file": lambda: write_bytes(folder / "new" / "file", b"x"),
        "a file replaced": lambda: write_bytes(folder / "file", b"x"),
        "a file removed": lambda: remove(folder / "file"),
        "a folder removed": lambda: remove_folder(folder / "checkpoints"),
        "a line in a log": lambda: append_line(folder / "log.txt", "x"),
    }


@pytest.mark.parametrize("way", ["a new file", "a file replaced", "a file removed", "a folder removed"])
def test_a_lease_that_goes_between_the_question_and_the_rename(tmp_path, way):
    """The successor comes at the last instant: the system has been asked to rename, and has not done so."""
    folder = tmp_path / "run"
    with Leases([folder]):
        for name in ("file", "checkpoints/a"):
            write_bytes(folder / name, b"whole")
        before: dict[str, tuple[bytes, int]] = {}

        def come(event: str, path: str) -> None:
            if event == "os.rename" and "fenced" not in path and not before:
                before["x"] = (b"", 0)
                succeed(folder)
                before.update(everything(folder))

        with listening(come), pytest.raises(LeaseLost, match="taken over by process 1 on other, attempt 9"):
            writes(folder)[way]()
        del before["x"]
        assert everything(folder) == before and before
    assert everything(folder) == before, "nor does the end of the late process change anything"


def test_a_lease_that_is_gone_before(tmp_path):
    folder = tmp_path / "run"
    with Leases([folder]) as leases:
        for name in ("file", "checkpoints/a", "log.txt"):
            write_bytes(folder / name, b"whole")
        succeed(folder)
        before = everything(folder)
        for way, change in writes(folder).items():
            with pytest.raises(LeaseLost):
                change()
            assert everything(folder) == before, way
        leases.release(folder, finished=True)
        for way, change in writes(folder).items():
            with pytest.raises(LeaseLost):
                change()
            assert everything(folder) == before, f"{way}, after it was given up"


@pytest.mark.parametrize("name", ["progress.json", "checkpoints/step.json", "cfg.json", "metrics.json"])
def test_a_run_that_is_taken_over_at_one_of_its_writes(loaded, run, tmp_path, name):
    """The successor comes when this file is about to be written, and the late process goes on to its end."""
    folder, before = record.run_folder(tmp_path, run), {}
    come_once = threading.Lock()

    def come(event: str, path: str) -> None:
        about = event == "os.rename" and without_names(path.removeprefix(f"{folder}/")) == name
        if about and (folder / LEASE).is_file() and come_once.acquire(blocking=False):
            succeed(folder)
            before.update(everything(folder))

    with listening(come):
        train(run, tmp_path)
    assert before and everything(folder) == before
