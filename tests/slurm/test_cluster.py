"""The test cluster itself: what other tests build on."""

from pathlib import Path

import pytest

from tests.slurm import processes
from tests.slurm.cluster import Cluster, ClusterError
from tests.slurm.slurm_conf import Settings

STEP = """echo start ${SLURM_RESTART_COUNT:-0} $SLURMD_NODENAME
srun bash -c 'trap "echo USR2; exit 0" USR2; for i in $(seq 600); do sleep 0.1; done'"""


def submit(cluster: Cluster, folder: Path, *options: str, wrap: str = STEP) -> tuple[str, Path]:
    """A job's number and its output."""
    output = folder / "out"
    command = ["sbatch", "--parsable", "--requeue", "--open-mode=append", f"--output={output}", *options]
    return cluster.run(*command, "--wrap", wrap), output


def contains(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text()


def test_arrays_and_gpus(cluster, tmp_path):
    cluster.run(
        "sbatch", "--wait", "--array=0-5", "--gpus-per-node=1", f"--output={tmp_path}/%a",
        "--wrap", "echo $SLURM_ARRAY_TASK_ID gpu=$CUDA_VISIBLE_DEVICES",
    )  # fmt: skip
    written = [(tmp_path / str(number)).read_text().split() for number in range(6)]
    assert [int(number) for number, _ in written] == list(range(6))
    assert {gpu for _, gpu in written} <= {"gpu=0", "gpu=1"}
    with pytest.raises(ClusterError, match="not available"):
        cluster.run("sbatch", "--gpus-per-node=9", "--wrap", "true")


def test_a_pre_empted_job_gets_its_signal_and_a_drained_node_takes_nothing(cluster, tmp_path):
    job, output = submit(cluster, tmp_path, "-p", "scavenge", "-w", "n1", "-c", "4", "--signal=USR2@60")
    cluster.wait_for(lambda: contains(output, "start 0 n1"))
    other = cluster.run("sbatch", "--parsable", "-p", "urgent", "-w", "n1", "-o", "/dev/null", "--wrap", "true")
    cluster.wait_for(lambda: contains(output, "USR2"))
    cluster.wait_for(lambda: cluster.job_state(other) == "COMPLETED")
    assert cluster.job_state(job) == "COMPLETED"
    cluster.drain("n1")
    waits = cluster.run("sbatch", "--parsable", "-w", "n1", "-o", "/dev/null", "--wrap", "true")
    assert cluster.node_state("n1") == "IDLE+DRAIN" and cluster.job_state(waits) == "PENDING"
    cluster.resume("n1")
    cluster.wait_for(lambda: cluster.job_state(waits) == "COMPLETED")


def test_a_job_outlives_its_node_and_the_controller_may_be_away(cluster, tmp_path):
    job, output = submit(cluster, tmp_path)
    cluster.wait_for(lambda: contains(output, "start 0"))
    node = cluster.run("squeue", "-h", "-o", "%N", "-j", job)
    cluster.wait_for(lambda: len(processes.of_node(cluster.conf, node)) > 2)
    cluster.kill_node(node)
    assert processes.of_node(cluster.conf, node) == []
    cluster.stop_controller()
    with pytest.raises(ClusterError, match="ontact slurm controller"):
        cluster.run("squeue")
    cluster.start_controller()
    cluster.run("scontrol", "update", f"nodename={node}", "state=DOWN", "reason=dead")  # sooner than SlurmdTimeout
    cluster.wait_for(lambda: contains(output, "start 1"), 90)
    cluster.run("scancel", job)
    cluster.start_node(node)
    after = cluster.run("sbatch", "--parsable", "-w", node, "-o", "/dev/null", "--wrap", "true")
    cluster.wait_for(lambda: cluster.job_state(after) == "COMPLETED", 90)


def test_nothing_is_left_behind_and_two_live_beside_each_other(cluster, tmp_path):
    with Cluster.up(Settings(nodes=1, gpus=0, conf={"JobRequeue": "0"})) as other:
        submit(other, tmp_path)
        other.wait_for(lambda: contains(tmp_path / "out", "start 0 n1"))
        assert "JobRequeue              = 0" in other.run("scontrol", "show", "config")
        assert "JobRequeue              = 1" in cluster.run("scontrol", "show", "config")
        mine = str(other.folder)
        assert [number for number in numbers() if mine in " ".join(processes.command_line(number))]
    assert not other.folder.exists()
    assert not [number for number in numbers() if mine in " ".join(processes.command_line(number))]
    assert processes.of_node(other.conf, "n1") == []
    assert cluster.node_state("n1") == "IDLE"


def test_a_setting_that_slurm_refuses_is_said(no_cluster):
    with pytest.raises(ClusterError, match="slurmctld"):
        Cluster.up(Settings(nodes=1, conf={"NoSuchKey": "1"}))


def numbers() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
