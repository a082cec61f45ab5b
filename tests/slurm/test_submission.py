"""Submitting: arrays within the cluster's limits, and from inside of another job."""

import os
import shlex
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from pipeline.slurm.squeue import outside_of_jobs
from tests.launching.sweeps import ROOT, RUN, arguments, launch, tasks
from tests.slurm.cluster import PATH, Cluster
from tests.slurm.slurm_conf import Settings
from tests.slurm.test_launcher import SLURM

SHORT = 60
LIMIT = 5
REFUSAL = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
SBATCH = """#!/bin/bash
# An sbatch with a limit of {limit} jobs a user, as only an accounting database can set one.
script="${{@: -1}}"
asked=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
queued=$(squeue -h -r -o %i | wc -l)
if [ $((queued + ${{asked:-0}} + 1)) -gt {limit} ]; then
    echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
    echo "sbatch: error: Batch job submission failed: {refusal}" >&2
    exit 1
fi
exec {sbatch} "$@"
"""


@pytest.fixture(scope="module")
def small(no_cluster):
    """Four tasks an array at the most."""
    with Cluster.up(Settings(nodes=2, conf={"MaxArraySize": "4"})) as cluster:
        yield cluster


def words(model: Path, text: Path, folder: Path, *more: str) -> list[str]:
    """Six runs, one a task."""
    six = arguments(model, text, folder, *SLURM, "hydra.launcher.runs_per_pack=1", *more, steps=SHORT)
    return [word.replace("coefficient=2,4", "coefficient=2,4,8") for word in six]


def status(folder: Path, cluster: Cluster) -> str:
    command = [sys.executable, "pipeline/status.py", f"sweeps_dir={folder}"]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | cluster.environment, capture_output=True, text=True, timeout=60
    ).stdout


def assert_all_done(folder: Path, cluster: Cluster, count: int = 6) -> None:
    assert f"{count} runs: {count} done" in status(folder, cluster)
    assert all(task["ended"] and task["attempt"] == 1 for task in tasks(folder))
    logs = list(folder.glob("runs/*/log.txt"))
    assert len(logs) == count and all(log.read_text().count("begins at step") == 1 for log in logs)


def test_arrays_and_users_have_limits_and_all_tasks_are_found_again(small, tiny_model, tiny_text, tmp_path):
    real = shutil.which("sbatch", path=PATH)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(SBATCH.format(limit=LIMIT, sbatch=real, refusal=REFUSAL))
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    environment = small.environment | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    folder = tmp_path / "sweeps"
    six = words(tiny_model, tiny_text, folder)
    held = ["hydra.launcher.wait=false", "+hydra.launcher.additional_parameters.hold=true"]
    code, output = launch([*six, *held], environment)
    assert code == 0 and "5 tasks submitted, 1 not yet; the same command" in output, output
    assert "accepts no further task now" in output and "job submit limit" in output, output
    jobs = [task["job_id"] for task in tasks(folder)]
    assert [len(list(group)) for _, group in groupby(jobs, lambda job: job.split("_")[0])] == [4, 1, 1] and not jobs[5]
    told = status(folder, small)
    assert "6 waiting" in told and all(f"job {job} PENDING (JobHeldUser)" in told for job in jobs[:5]), told
    assert "not submitted yet" in told, told
    for job in {job.split("_")[0] for job in jobs[:5]}:
        small.run("scontrol", "release", job)
    code, output = launch(six, environment)
    assert code == 0 and "6 tasks of an earlier launch go on, with 6 runs" in output, output
    assert [task["job_id"] for task in tasks(folder)][:5] == jobs[:5], "nothing is submitted twice"
    assert tasks(folder)[5]["job_id"].isdigit(), "the sixth is submitted when the limit allows"
    assert_all_done(folder, small)


def test_a_sweep_launched_from_inside_a_job_is_no_part_of_it(small, tiny_model, tiny_text, tmp_path):
    """An outer job of submitit's with other limits, whose own settings would make the inner sbatch fail."""
    four = arguments(tiny_model, tiny_text, tmp_path / "sweeps", *SLURM, steps=SHORT)
    inner = shlex.join([*RUN, *four])
    wrap = f"cd {ROOT} && export PYTHONPATH={ROOT} SUBMITIT_EXECUTOR=slurm SBATCH_PARTITION=nowhere && exec {inner}"
    output = tmp_path / "outer.log"
    small.run(
        "sbatch", "--wait", f"--output={output}", "--mem-per-cpu=500", "--ntasks=2", "--gpus-per-node=1",
        "--array=3", "--job-name=outer", "--time=7", "--wrap", wrap, check=False, timeout=200,
    )  # fmt: skip
    assert "submitted 1 tasks" in output.read_text(), output.read_text()
    assert_all_done(tmp_path / "sweeps", small, count=4)
    (task,) = tasks(tmp_path / "sweeps")
    job = small.run("scontrol", "-o", "show", "job", task["job_id"])
    assert "TimeLimit=12:00:00" in job and "NumCPUs=1 " in job and "JobName=sae-tiny" in job, job
    assert "MinMemoryNode=2G" in job and "gpu" not in job, job


def test_what_a_user_has_set_for_sbatch_is_hidden_only_inside_of_a_job(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with outside_of_jobs():
        assert os.environ["SBATCH_ACCOUNT"] == "mine" and os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_CONF": "here", "SLURM_MEM_PER_CPU": "9"}.items():
        monkeypatch.setenv(name, value)
    with outside_of_jobs():
        left = {name for name in os.environ if name.startswith(("SLURM", "SBATCH", "CUDA"))}
        assert left == {"SLURM_CONF"}
    assert os.environ["SBATCH_ACCOUNT"] == "mine" and os.environ["SLURM_MEM_PER_CPU"] == "9"
