"""What clean lists and deletes, on folders written by hand."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.clean import main
from pipeline.records.garbage import find
from pipeline.records.identity import TRAINING_VERSION
from tests.factories import record

ROOT = Path(__file__).resolve().parent.parent
HOURS = 3 * 3600


def write(path: Path, content: str = "x", age: float = HOURS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def disk(tmp_path):
    """A sweep of the runs done, old and begun; beside them a run of no sweep, a new one and one that is trained."""
    runs = [{"run": name, "evaluation": "e", "settings": {}} for name in ("done", "old", "begun")]
    write(tmp_path / "s" / "manifest.json", json.dumps({"runs": runs}))
    for name in ("done", "old", "begun", "unwanted", "new", "running"):
        version = TRAINING_VERSION - 1 if name == "old" else TRAINING_VERSION
        write(tmp_path / "runs" / name / "config.yaml", f"seed: 0\ntraining_version: {version}\n")
        write(tmp_path / "runs" / name / "checkpoints" / "step-1.json", "y" * 100)
    write(tmp_path / "runs" / "done" / "metrics.json", json.dumps(record()))
    write(tmp_path / "runs" / "done" / ".metrics.json.9.tmp")
    write(tmp_path / "runs" / "begun" / ".history.csv.9.tmp")
    write(tmp_path / "runs" / "begun" / ".young.9.tmp", age=5)
    write(tmp_path / "runs" / "begun" / "checkpoints" / ".step-2.9.tmp")
    write(tmp_path / "runs" / "new" / "log.txt", age=5)
    write(tmp_path / "runs" / "running" / "progress.json", json.dumps({"step": 1, "steps": 9, "time": time.time()}))
    for folder in (tmp_path / "runs").iterdir():
        for path in (folder / "checkpoints", folder):
            os.utime(path, (time.time() - HOURS,) * 2)
    return tmp_path


def found(disk: Path) -> set[tuple[str, str]]:
    found = (waste for waste in find(disk, time.time()) if waste.age > 3600)
    return {(waste.kind, str(waste.path.relative_to(disk))) for waste in found}


EXPECTED = {
    ("old", "runs/old"), ("unwanted", "runs/unwanted"), ("checkpoints", "runs/done/checkpoints"),
    ("temporary", "runs/done/.metrics.json.9.tmp"), ("temporary", "runs/begun/.history.csv.9.tmp"),
    ("temporary", "runs/begun/checkpoints/.step-2.9.tmp"),
}  # fmt: skip


def test_it_lists_what_could_go_and_deletes_nothing(disk, capsys):
    assert found(disk) == EXPECTED
    before = sorted(disk.rglob("*"))
    assert main([f"sweeps_dir={disk}"]) == 0
    assert sorted(disk.rglob("*")) == before
    *_, young, last = capsys.readouterr().out.splitlines()
    assert young.startswith("1 folder and 1 file changed less than 1 h 00 min ago: left alone")
    assert "could go" in last and "delete=true" in last


def test_young_folders_are_counted_and_go_when_it_is_asked_for(disk, capsys):
    assert main([f"sweeps_dir={disk}", "only=unwanted", "older_than=14400"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 folders changed less than 4 h 00 min ago: left alone; older_than=SECONDS sets another limit",
        "nothing else could go",
    ]
    assert main([f"sweeps_dir={disk}", "only=unwanted", "older_than=3", "delete=true"]) == 0
    assert {path.name for path in (disk / "runs").iterdir()} == {"done", "old", "begun", "running"}
    assert main(["older_than=0"]) == 2 and main(["--help"]) == 0
    assert "until an hour after their last change" in capsys.readouterr().out


def test_it_deletes_what_it_is_told_to(disk, capsys):
    main([f"sweeps_dir={disk}", "only=checkpoints", "delete=true"])
    assert capsys.readouterr().out.splitlines()[-1] == "100 B deleted"
    assert {kind for kind, _ in found(disk)} == {"old", "unwanted", "temporary"}
    main([f"sweeps_dir={disk}", "delete=true"])
    assert found(disk) == set()
    assert {path.name for path in (disk / "runs").iterdir()} == {"done", "begun", "new", "running"}
    assert (disk / "runs/running/checkpoints/step-1.json").is_file()
    assert (disk / "runs/begun/checkpoints/step-1.json").is_file() and (disk / "runs/begun/.young.9.tmp").is_file()


def test_a_run_that_is_leased_is_left_alone_even_with_an_old_version(disk):
    write(disk / "runs" / "old" / "lease.json", json.dumps({"attempt": 1, "host": "n", "ended": None}), age=1)
    assert ("old", "runs/old") not in found(disk)


@pytest.mark.parametrize("version", [4, TRAINING_VERSION])
def test_a_folder_from_when_there_was_one_version_for_all_is_old(disk, version):
    """Whatever its number: no run that is declared today has its name."""
    write(disk / "runs" / "old" / "config.yaml", f"seed: 0\nnumerics_version: {version}\n")
    (waste,) = (waste for waste in find(disk, time.time()) if waste.kind == "old")
    assert waste.why == f"numerics_version {version}; this code has training_version {TRAINING_VERSION}"
    main([f"sweeps_dir={disk}", "only=old", "delete=true"])
    assert not (disk / "runs" / "old").exists() and (disk / "runs" / "done").is_dir()


def test_folders_that_are_no_runs_of_ours_stay(disk, capsys):
    for name, files in {
        "mythesis": ("a.txt",), "other": ("config.yaml", "metrics.json", "lease.json"), "deadbeef0123": ("a.txt",),
    }.items():  # fmt: skip
        for file in files:
            write(disk / "runs" / name / file, "{}")
        os.utime(disk / "runs" / name, (time.time() - HOURS,) * 2)
    ours = write(disk / "runs" / "gated-resid-0123456789ab" / "log.txt").parent
    os.utime(ours, (time.time() - HOURS,) * 2)
    not_a_sweep = write(disk / "thesis" / ".draft.tmp")
    assert found(disk) == EXPECTED | {("unwanted", f"runs/{ours.name}")}
    main([f"sweeps_dir={disk}", "delete=true", "older_than=0.000001"])
    assert {"mythesis", "other", "deadbeef0123"} <= {path.name for path in (disk / "runs").iterdir()}
    assert not ours.exists() and not_a_sweep.is_file()


def test_a_folder_without_a_sweep_is_no_place_to_clean(tmp_path, capsys):
    kept = write(tmp_path / "runs" / "gated-resid-0123456789ab" / "a.txt")
    assert main([f"sweeps_dir={tmp_path}", "older_than=0.000001", "delete=true"]) == 2
    assert "holds no sweep" in capsys.readouterr().err and kept.is_file()


def test_a_deletion_that_was_cut_short_is_finished(disk):
    (disk / "runs" / "unwanted").rename(disk / "runs" / ".deleting-unwanted")
    assert ("temporary", "runs/.deleting-unwanted") in found(disk)


def test_a_manifest_that_cannot_be_read_stops_everything(disk):
    write(disk / "t" / "manifest.json", "{half")
    command = [sys.executable, "pipeline/clean.py", f"sweeps_dir={disk}", "delete=true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "t/manifest.json cannot be read" in done.stderr.splitlines()[-1]
    assert (disk / "runs" / "unwanted").is_dir()


def test_mistakes_are_one_line_and_the_start_is_fast(disk):
    for arguments, expected in (["only=olds"], "did you mean old?"), (["delete=yes"], "neither true nor false"):
        done = subprocess.run(
            [sys.executable, "pipeline/clean.py", *arguments], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 2 and expected in done.stderr and len(done.stderr.splitlines()) == 1
    code = (
        "import sys, pipeline.clean, pipeline.records.identity; print({'torch', 'pandas', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
