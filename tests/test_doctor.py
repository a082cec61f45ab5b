"""The doctor where there is no Slurm."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def doctor(*arguments: str, programs: Path = Path("/nowhere")) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": str(programs), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "pipeline/doctor.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_without_slurm_only_the_machine_is_looked_at(tmp_path):
    done = doctor(f"sweeps_dir={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "no Slurm on this machine" in lines[0] and len(lines) == 7
    assert "the bundled model can be read" in done.stdout and not list(tmp_path.iterdir())


def test_where_slurm_does_not_answer_the_machine_is_told_all_the_same(tmp_path):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text("#!/bin/sh\necho 'slurm_load_partitions: Unable to contact slurmctld' >&2\nexit 1\n")
    scontrol.chmod(0o755)
    done = doctor(f"sweeps_dir={tmp_path}", programs=scontrol.parent)
    first, *machine, last = done.stdout.splitlines()
    assert done.returncode == 1 and done.stderr == "" and last.startswith("1 problem, ")
    assert first.startswith("problem  Slurm does not answer (slurm_load_partitions: Unable to contact")
    assert len(machine) == 5 and "the bundled model can be read" in machine[-1]


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
