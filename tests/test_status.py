"""What status says of a sweep: from folders written by hand, and from a squeue that a test plays."""

import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline import status
from pipeline.monitoring.sweep_status import lines
from pipeline.records.status import read_sweep_on_disk
from pipeline.storage import reading
from pipeline.storage.lease import process_start
from tests.factories import record

ROOT = Path(__file__).resolve().parent.parent
NOW = 1_000_000.0


class Disk:
    """A sweep `s` of the runs a, b, c, ..., with what a test leaves in their folders."""

    def __init__(self, folder: Path, runs: list[str]) -> None:
        self.folder = folder
        entries = [{"run": run, "evaluation": "e", "settings": {}} for run in runs]
        self.write("s/manifest.json", {"sweep": "s", "runs": entries})

    def write(self, name: str, content: object) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def done(self, run: str) -> None:
        self.write(f"runs/{run}/metrics.json", record())

    def task(self, runs: list[str], **more: object) -> None:
        content = {"task": 1, "pack": "p", "runs": runs, "attempt": 1, "executor": "slurm", "job_id": "7_0", "log": "l"}
        content |= {"submitted": 1.0, "split_from": None, "ended": None, "state": "PENDING", "reason": ""}
        self.write("s/tasks.json", {"tasks": [content | more]})

    def report(self) -> str:
        return "\n".join(lines(read_sweep_on_disk(self.folder, "s", NOW)))


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A squeue on PATH that prints the rows a test gives it, or fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def says(rows: str, code: int = 0) -> None:
        script = folder / "squeue"
        script.write_text(f"#!/bin/sh\necho x >> {folder}/calls\ncat <<'E'\n{rows}\nE\nexit {code}\n")
        script.chmod(0o755)

    says.calls = folder / "calls"
    return says


def test_every_state_is_counted_and_told(tmp_path):
    disk = Disk(tmp_path, ["a", "b", "c", "d"])
    disk.done("a")
    progress = {
        "phase": "training", "step": 3, "steps": 1000, "share": 0.0, "l0": 20.15, "loss": 0.5, "eta_seconds": 130.0,
        "steps_per_second": 7.0, "tokens_per_second": 12345.6, "time": NOW - 10,
    }  # fmt: skip
    disk.write("runs/b/progress.json", progress)
    disk.write("runs/c/failure.json", {"error": "TrainingDiverged", "reason": "loss is nan", "step": 12})
    report = disk.report()
    assert "4 runs: 1 done, 1 running, 1 waiting, 1 failed; those running are trained in 2 min 10 s, " in report
    assert "b  training: step 3/1,000, L0 20.1, loss 0.5, 12,346 tokens/s, ETA 2 min 10 s, on this machine" in report
    assert "c  TrainingDiverged at step 12: loss is nan" in report
    assert "d  for its turn" in report
    old = "\n".join(lines(read_sweep_on_disk(tmp_path, "s", NOW + 600)))
    assert "2 missing" in old and "b  stopped after step 3 of 1000" in old and "running" not in old


def test_a_lease_shows_a_run_before_its_first_step_and_where_it_is(tmp_path):
    disk = Disk(tmp_path, ["a"])
    lease = disk.write("runs/a/lease.json", {"attempt": 1, "host": "node7", "pid": 3, "ended": None})
    os.utime(lease, (NOW - 5, NOW - 5))
    assert "a  starting, on node7" in disk.report()
    disk.write("runs/a/lease.json", {"attempt": 1, "host": "node7", "pid": 3, "ended": NOW})
    assert "running" not in disk.report()


def test_an_evaluation_and_the_start_have_no_eta_of_training(tmp_path):
    disk = Disk(tmp_path, ["a", "b"])
    evaluating = {"phase": "evaluating", "step": 9, "steps": 9, "share": 0.25, "eta_seconds": 90.0, "time": NOW - 1}
    disk.write("runs/a/progress.json", evaluating)
    disk.write("runs/b/progress.json", {"phase": "loading", "step": 0, "steps": 9, "eta_seconds": None, "time": NOW})
    report = disk.report()
    assert "a  evaluating 25 %, ETA 1 min 30 s, on this machine" in report and "b  loading, on" in report
    assert "2 running\n" in report, "nothing is trained that could end"


def test_the_whole_sweep_is_estimated_with_what_waits(tmp_path):
    disk = Disk(tmp_path, ["a", "b"])
    entries = [{"run": run, "evaluation": "e", "settings": {"train": {"steps": 100}}} for run in "ab"]
    disk.write("s/manifest.json", {"sweep": "s", "runs": entries})
    training = {"phase": "activations", "step": 50, "steps": 100, "steps_per_second": 0.5, "eta_seconds": 100.0}
    disk.write("runs/a/progress.json", training | {"time": NOW - 1})
    expected = "1 waiting; those running are trained in 1 min 40 s, all in 5 min 00 s, evaluation comes after that"
    assert expected in disk.report()


def test_a_process_of_this_machine_that_ended_or_died_runs_no_more(tmp_path):
    """At once, whatever it wrote a moment ago; one that lives runs, however long it has written nothing."""
    disk = Disk(tmp_path, ["a"])
    disk.write("runs/a/progress.json", {"phase": "training", "step": 3, "steps": 9, "time": NOW - 1})
    mine = {"attempt": 1, "host": platform.node(), "pid": os.getpid(), "started": process_start(os.getpid())}
    for lease, running in (
        (mine | {"ended": NOW - 1}, False), (mine | {"ended": None}, True),
        (mine | {"ended": None, "started": "1"}, False), (mine | {"ended": None, "pid": 2**22 + 1}, False),
        (mine | {"ended": None, "host": "another", "started": "1"}, True),
        (mine | {"ended": NOW, "host": "another"}, False),
    ):  # fmt: skip
        disk.write("runs/a/lease.json", lease)
        report = disk.report()
        assert ("1 running" in report) == running, lease
        assert running or ("1 missing" in report and "stopped after step 3 of 9" in report)
    os.utime(disk.write("runs/a/lease.json", mine | {"ended": None}), (NOW - 3600,) * 2)
    disk.write("runs/a/progress.json", {"phase": "training", "step": 3, "steps": 9, "time": NOW - 3600})
    assert "1 running" in disk.report()


def test_names_shrink_where_a_terminal_is_narrow(tmp_path):
    names = [f"bundled-attn_z-L2-gated-lam{n}-seed0-1bace47a2e3e" for n in range(3)]
    disk = Disk(tmp_path, names)
    assert all(name in disk.report() for name in names)
    narrow = list(lines(read_sweep_on_disk(tmp_path, "s", NOW), width=40))
    assert [line.split()[1] for line in narrow[1:]] == ["lam0", "lam1", "lam2"]


def test_slurm_explains_in_one_call(tmp_path, squeue):
    disk = Disk(tmp_path, ["a", "b"])
    squeue("7_0|PENDING||x|JobHeldUser")
    disk.task(["a", "b"])
    report = disk.report()
    assert "2 waiting" in report and "job 7_0 PENDING (JobHeldUser)" in report and "scontrol release 7_0" in report
    assert squeue.calls.read_text() == "x\n"
    disk.write("runs/a/progress.json", {"step": 3, "steps": 9, "time": NOW - 1})
    assert "2 waiting" in disk.report()  # requeued and held: its last sign of life says nothing
    squeue("7_0|RUNNING|n3|x|None")
    assert "on n3 job 7_0 RUNNING" in disk.report()
    disk.write("runs/b/failure.json", {"error": "Killed", "reason": "out of memory", "step": 2})
    assert "b  Killed at step 2: out of memory (l)" in disk.report()
    squeue("slurm_load_jobs error: Unable to contact slurm controller", 1)
    assert "Slurm does not answer" in disk.report()


def test_more_than_a_screen_is_counted(tmp_path):
    disk = Disk(tmp_path, [f"r{number}" for number in range(40)])
    report = disk.report().splitlines()
    assert len(report) == 17 and report[-1].split() == ["missing", "and", "25", "more"]


def test_the_command(tmp_path, capsys):
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, "pipeline/status.py", f"sweeps_dir={tmp_path}", *arguments]
        return subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert command().returncode == 1 and "no sweep on disk" in command().stderr
    disk = Disk(tmp_path, [f"r{number}" for number in range(1500)])
    for number in range(1001):
        disk.done(f"r{number}")
    started = time.monotonic()
    done = command("sweep=s")
    seconds = time.monotonic() - started
    assert done.stdout.startswith("s: 1500 runs: 1001 done, 499 missing")
    assert seconds < 3, f"{seconds:.2f} s; 0.3 on a quiet machine"
    (tmp_path / "empty").mkdir()
    for folder, said in (
        ("none", "is not a folder"),
        ("s/manifest.json", "not a folder"),
        ("empty", "sweep=t is not on"),
    ):
        assert status.main([f"sweeps_dir={tmp_path / folder}", "sweep=t"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error
    wrong = command("sweep=t")
    assert wrong.returncode == 2 and wrong.stderr == "error: sweep=t is not on disk (on disk: s)\n"


def test_each_file_is_read_once(tmp_path, monkeypatch):
    disk, opened = Disk(tmp_path, ["a", "b"]), Counter()
    disk.done("a")
    disk.task(["b"], ended=1.0)
    really = reading.open_file
    monkeypatch.setattr(reading, "open_file", lambda path: opened.update([path]) or really(path))
    for arguments in ([], ["verify=true"]):
        opened.clear()
        status.main([f"sweeps_dir={tmp_path}", *arguments])
        there = {path: count for path, count in opened.items() if path.is_file()}
        assert there == dict.fromkeys(tmp_path.rglob("*.json"), 1), arguments


def test_it_imports_nothing_slow():
    code = "import sys, pipeline.status; print({'torch', 'pandas', 'hydra', 'rich', 'omegaconf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
