"""The Slurm launcher on a real Slurm: pre-emption, death, adoption, a second parent, tasks that wait for ever."""

import os
import re
import signal
from pathlib import Path

import pytest

from pipeline.storage.reading import whole_object
from tests.launching.sweeps import (
    arguments,
    assert_same_runs,
    checkpoints,
    finish,
    launch,
    lease,
    start,
    tasks,
    wait_for,
    wait_for_line,
)
from tests.slurm.cluster import Cluster

SLURM = [
    "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2", "hydra.launcher.memory_gb=4",
    "hydra.launcher.poll_seconds=0.5", "hydra.launcher.settle_seconds=2",
]  # fmt: skip


@pytest.fixture
def words(tiny_model, tiny_text, tmp_path) -> list[str]:
    return arguments(tiny_model, tiny_text, tmp_path, *SLURM)


def log_of_runs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("runs/*/log.txt"))


def test_a_preempted_pack_is_requeued_and_goes_on(cluster: Cluster, undisturbed, words, tmp_path):
    process = start([*words, "hydra.launcher.partition=scavenge", "hydra.launcher.nodelist=n1"], cluster.environment)
    wait_for(lambda: checkpoints(tmp_path))
    job = tasks(tmp_path)[0]["job_id"]
    cluster.run("sbatch", "-p", "urgent", "-w", "n1", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2")
    code, output = finish(process)
    assert code == 0, output
    assert_same_runs(undisturbed, tmp_path)
    done = tasks(tmp_path)
    assert [task["job_id"] for task in done] == [job] and done[0]["attempt"] == 1, "the same task, requeued"
    begun = [int(step.replace(",", "")) for step in re.findall(r"begins at step ([\d,]+)", log_of_runs(tmp_path))]
    assert len(begun) == 8 and sorted(begun)[4:] > [0] * 4, begun


def test_a_run_that_takes_more_memory_than_its_task_has_is_named(cluster: Cluster, tiny_model, tiny_text, tmp_path):
    """One of two is a thousand times as wide, and the estimate that would refuse it is overruled."""
    wide = ["architecture=baseline", "architecture.expansion=4,40000", "sparsity_coefficient=2"]
    limits = ["hydra.launcher.mem_gb=1.3", "hydra.launcher.memory_gb=64"]
    keys = [word.split("=")[0] for word in [*wide, *limits]]
    words = arguments(tiny_model, tiny_text, tmp_path, *SLURM, steps=60)
    words = [word for word in words if word.split("=")[0] not in keys]
    code, output = launch([*words, *wide, *limits], cluster.environment)
    assert code == 1, output
    (failure,) = [whole_object(path) for path in tmp_path.glob("runs/*/failure.json")]
    assert failure["error"] == "ProcessKilled" and "killed by the system (out of memory" in failure["reason"], failure
    assert "alone in its pack" in failure["reason"] and failure["reason"] in output
    assert len(list(tmp_path.glob("runs/*/metrics.json"))) == 1
    assert [len(task["runs"]) for task in tasks(tmp_path)] == [2, 1, 1]


def test_a_killed_launcher_finds_its_tasks_again_and_a_second_is_refused(
    cluster: Cluster, undisturbed, words, tmp_path
):
    words = [*words, "hydra.launcher.runs_per_pack=2"]
    first = start(words, cluster.environment)
    wait_for(lambda: checkpoints(tmp_path))
    before = [task["job_id"] for task in tasks(tmp_path)]
    for job in before:
        wait_for(lambda job=job: cluster.job_state(job) == "RUNNING")
        cluster.run("scontrol", "suspend", job)  # or they might be at their end before the next command has begun
    code, output = launch(words, cluster.environment)
    assert code == 2 and len(output.strip().splitlines()) == 1 and f"process {first.pid}" in output, output
    os.kill(first.pid, signal.SIGKILL)
    finish(first)
    third = start(words, cluster.environment)
    wait_for_line(third, "2 tasks of an earlier launch go on")
    for job in before:
        cluster.run("scontrol", "resume", job)
    code, output = finish(third)
    assert code == 0, output
    assert [task["job_id"] for task in tasks(tmp_path)] == before, "nothing is submitted twice"
    assert log_of_runs(tmp_path).count("begins at step") == 4
    assert_same_runs(undisturbed, tmp_path)


def test_submit_and_return_then_follow_a_held_task(cluster: Cluster, undisturbed, words, tmp_path):
    code, submitted = launch(
        [*words, "hydra.launcher.wait=false", "+hydra.launcher.additional_parameters.hold=true"], cluster.environment
    )
    assert code == 0 and "1 tasks submitted" in submitted, submitted
    job = tasks(tmp_path)[0]["job_id"]
    following = start(words, cluster.environment)
    wait_for(lambda: tasks(tmp_path)[0]["reason"] == "JobHeldUser")
    cluster.run("scontrol", "release", job)
    code, output = finish(following)
    assert code == 0 and f"scontrol release {job}" in submitted + output, submitted + output
    assert_same_runs(undisturbed, tmp_path)


def test_ctrl_c_leaves_the_tasks_running_and_scancel_is_no_failure(cluster: Cluster, words, tmp_path):
    process = start(words, cluster.environment)
    wait_for(lambda: checkpoints(tmp_path))
    os.kill(process.pid, signal.SIGINT)
    code, output = finish(process)
    job = tasks(tmp_path)[0]["job_id"]
    assert code == 130 and f"scancel {job}" in output and cluster.job_state(job) == "RUNNING", output
    cluster.run("scancel", job)
    wait_for(lambda: cluster.job_state(job) == "CANCELLED")
    code, output = launch(words, cluster.environment)
    assert code == 1 and "ended without records" in output and not list(tmp_path.glob("runs/*/failure.json")), output
    assert all(lease(run)["ended"] for run in tmp_path.glob("runs/*")), "they saved when the warning came"


def test_what_sbatch_refuses_is_one_line(cluster: Cluster, words, tmp_path):
    code, output = launch([*words, "hydra.launcher.partition=nowhere"], cluster.environment)
    assert code == 2 and "error: " in output and "invalid partition" in output.lower(), output
    assert all(task["state"] == "WAITING" for task in tasks(tmp_path))
