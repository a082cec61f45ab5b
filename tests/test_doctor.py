"""The doctor where there is no Slurm."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": "/nowhere", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "pipeline/doctor.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_without_slurm_only_the_machine_is_looked_at(tmp_path):
    done = doctor(f"sweeps_dir={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "no Slurm on this machine" in lines[0] and len(lines) == 7
    assert "the bundled model can be read" in done.stdout and not list(tmp_path.iterdir())


def test_mistakes_are_one_line(tmp_path):
    for argument, expected in (("probe=no", "neither true nor false"), ("parttion=x", "did you mean partition?")):
        done = doctor(argument)
        assert done.returncode == 2 and expected in done.stderr and len(done.stderr.splitlines()) == 1
    assert "partition=NAME" in doctor("--help").stdout


def test_a_full_or_closed_disk_is_a_problem(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    done = doctor(f"sweeps_dir={file}/below")
    assert done.returncode == 1 and "no run can be written" in done.stdout
