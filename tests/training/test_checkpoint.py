"""Checkpoints after damage: the newest whole one is found, and what was passed over is named."""

import json
import os
from pathlib import Path

import pytest
import torch

from pipeline.training.checkpoint import read_checkpoint, write_checkpoint


def write(folder: Path, step: int) -> None:
    flags = torch.tensor([1, 2]).byte()
    tensors = {"W": torch.full((4, 3), float(step)).T, "silent": torch.arange(step), "flags": flags}
    write_checkpoint(folder, step, tensors, {"history": [{"loss": 0.1 * step}], "kept": {"commit": None}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds checkpoints of steps 10 and 20."""
    folder = tmp_path / "checkpoints"
    write(folder, 10)
    write(folder, 20)
    return folder


def newest(folder: Path, suffix: str) -> Path:
    return folder / f"step-000000020{suffix}"


def test_round_trip_is_exact(folder: Path) -> None:
    found = read_checkpoint(folder)
    assert found is not None
    tensors, state = found
    assert state["step"] == 20 and state["history"] == [{"loss": 0.1 * 20}] and state["kept"] == {"commit": None}
    assert torch.equal(tensors["W"], torch.full((3, 4), 20.0))
    assert torch.equal(tensors["silent"], torch.arange(20)) and tensors["flags"].dtype == torch.uint8


def test_nothing_there_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "never written") is None
    (tmp_path / "empty").mkdir()
    assert read_checkpoint(tmp_path / "empty") is None


def flip_a_bit(folder: Path) -> Path:
    path = newest(folder, ".safetensors")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    return path


def cut_tensors(folder: Path) -> Path:
    path = newest(folder, ".safetensors")
    path.write_bytes(path.read_bytes()[:-20])
    return path


def lose_tensors(folder: Path) -> Path:
    path = newest(folder, ".safetensors")
    path.unlink()
    return path


def halve_json(folder: Path) -> Path:
    path = newest(folder, ".json")
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    return path


def empty_json(folder: Path) -> Path:
    path = newest(folder, ".json")
    path.write_text("")
    return path


def scramble_json(folder: Path) -> Path:
    """Bytes that are no text at all."""
    path = newest(folder, ".json")
    path.write_bytes(b"\xff\xfe" + path.read_bytes()[2:])
    return path


def nest_json(folder: Path) -> Path:
    path = newest(folder, ".json")
    path.write_text("[" * 100_000)
    return path


def put_a_folder(folder: Path) -> Path:
    path = newest(folder, ".json")
    path.unlink()
    path.mkdir()
    return path


def put_a_pipe(folder: Path) -> Path:
    path = newest(folder, ".safetensors")
    path.unlink()
    os.mkfifo(path)
    return path


DAMAGES = [
    flip_a_bit,
    cut_tensors,
    lose_tensors,
    halve_json,
    empty_json,
    scramble_json,
    nest_json,
    put_a_folder,
    put_a_pipe,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_gives_the_one_before_with_a_line(folder: Path, damage, capsys) -> None:
    damaged = damage(folder)
    found = read_checkpoint(folder)
    assert found is not None and found[1]["step"] == 10 and torch.equal(found[0]["W"], torch.full((3, 4), 10.0))
    (line,) = capsys.readouterr().err.splitlines()
    assert str(damaged.with_suffix("")) in line and "the one before it is used" in line


def test_all_damaged_is_none(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.write_text("{")
    assert read_checkpoint(folder) is None


def test_tensors_without_json_are_no_checkpoint(folder: Path, capsys) -> None:
    """A kill between the two files: the JSON comes last."""
    newest(folder, ".json").unlink()
    found = read_checkpoint(folder)
    assert found is not None and found[1]["step"] == 10 and not capsys.readouterr().err


def test_a_kill_before_the_rename_leaves_nothing_that_is_read(folder: Path, monkeypatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.storage.files.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(folder, 30)
    found = read_checkpoint(folder)
    assert found is not None and found[1]["step"] == 20


def test_two_are_kept(folder: Path) -> None:
    for step in (30, 40, 1000):
        write(folder, step)
    kept = [f"step-{step:09d}{suffix}" for step in (40, 1000) for suffix in (".json", ".safetensors")]
    assert sorted(path.name for path in folder.iterdir()) == kept


def test_writing_the_same_step_again_replaces_it(folder: Path) -> None:
    write(folder, 20)
    assert len(list(folder.iterdir())) == 4
    assert json.loads(newest(folder, ".json").read_text())["step"] == 20
    found = read_checkpoint(folder)
    assert found is not None and found[1]["step"] == 20
