"""What disks do: damaged, cut and missing files, no room, no right to write. The right result or the right line."""

import logging
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import record
from pipeline.errors import DamagedFile, Interrupted, NotWritable
from pipeline.launching.tasks import TaskTable
from pipeline.sae.saved import load_sae
from pipeline.sweep import status_on_disk
from tests.kills.victim import runs, train
from tests.launching.sweeps import assert_same_runs


@pytest.fixture(scope="module")
def two(tiny_model, tiny_text):
    """A gated run and a baseline."""
    return runs(tiny_model, tiny_text)[1:3]


@pytest.fixture(scope="module")
def undisturbed(two, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(two, folder)
    return folder


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


DAMAGES = [flip_a_bit, cut_in_half]


def interrupted(two, folder: Path) -> list[Path]:
    """Both runs stopped with two checkpoints each; the run folders."""

    class StopInBlockFour(threading.Event):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 150

    with pytest.raises(Interrupted):
        train(two, folder, StopInBlockFour())
    folders = [record.run_folder(folder, run) for run in two]
    assert all(len(list(f.glob("checkpoints/*.json"))) == 2 for f in folders)
    return folders


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(two, undisturbed, tmp_path, damage, suffix, caplog):
    for folder in interrupted(two, tmp_path):
        newest = sorted(folder.glob(f"checkpoints/*.{suffix}"))[-1]
        damage(newest)
    with caplog.at_level(logging.WARNING):
        train(two, tmp_path)
    assert "the one before it is used" in caplog.text
    assert_same_runs(undisturbed, tmp_path)


def test_half_a_record_is_no_record(two, undisturbed, tmp_path):
    train(two, tmp_path)
    folder = record.run_folder(tmp_path, two[0])
    cut_in_half(folder / record.METRICS)
    assert status_on_disk(tmp_path, two[0]) == "begun" and status_on_disk(tmp_path, two[1]) == "done"
    train(two, tmp_path)
    assert_same_runs(undisturbed, tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_trained_again_and_never_evaluated(two, undisturbed, tmp_path, damage: Callable):
    train(two, tmp_path)
    folder = record.run_folder(tmp_path, two[1])
    (folder / record.METRICS).unlink()
    damage(folder / "sae_weights.safetensors")
    with pytest.raises(DamagedFile, match="is damaged"):
        load_sae(folder)
    train(two, tmp_path)
    assert_same_runs(undisturbed, tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_references_are_computed_again(two, undisturbed, tmp_path, damage, caplog):
    train(two, tmp_path)
    (record.run_folder(tmp_path, two[0]) / record.METRICS).unlink()
    shared = sorted(record.shared_folder(tmp_path).glob("*.safetensors"))
    for path in shared:
        damage(path)
    with caplog.at_level(logging.WARNING):
        train(two, tmp_path)
    assert caplog.text.count("computed again") == len(shared) == 2
    assert_same_runs(undisturbed, tmp_path)
    for path in shared:
        assert path.read_bytes() == (record.shared_folder(undisturbed) / path.name).read_bytes()


def test_half_a_task_table_is_an_empty_one(tmp_path):
    (tmp_path / "tasks.json").write_text('{"tasks": [{"task": 1, "pa')
    assert TaskTable.read(tmp_path).tasks == []


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_half_file(two, undisturbed, tmp_path):
    small = tmp_path / "small"
    with mounted(small, "size=400k"):
        with pytest.raises(NotWritable, match=r"No space left on device.*make room") as raised:
            train(two, small)
        assert "\n" not in str(raised.value) and not list(small.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        train(two, small)
        assert_same_runs(undisturbed, small)


def test_a_read_only_folder_is_one_line(two, tmp_path):
    fixed = tmp_path / "fixed"
    with mounted(fixed, "ro"), pytest.raises(NotWritable, match=r"Read-only file system.*make it writable") as raised:
        train(two, fixed)
    assert "\n" not in str(raised.value)
