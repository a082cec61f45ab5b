"""The doctor on real clusters: each warning fires with the bad setting and is silent with the good one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.diagnosis import cluster_checks
from pipeline.diagnosis.check_result import judge
from pipeline.diagnosis.cluster import ask
from tests.slurm.cluster import Cluster
from tests.slurm.slurm_conf import Settings

ROOT = Path(__file__).resolve().parents[2]
GOOD = Settings(nodes=2, partitions={"scavenge": "PriorityTier=1 PreemptMode=REQUEUE GraceTime=120"})
BAD = Settings(
    nodes=2,
    gpus=0,
    conf={
        "SlurmctldParameters": None, "JobRequeue": "0", "MaxArraySize": "3", "MaxJobCount": "50", "KillWait": "2",
        "MinJobAge": "5", "JobAcctGatherParams": None, "SelectTypeParameters": "CR_CPU",
    },
    partitions={
        "scavenge": "PriorityTier=1 PreemptMode=REQUEUE GraceTime=0 MaxTime=5",
        "cancelled": "PriorityTier=1 PreemptMode=CANCEL",
        "closed": "State=DOWN",
    },
)  # fmt: skip
RUNS = 60


def levels(cluster: Cluster, partition: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    facts = ask(partition, largest_sweep=RUNS)
    return {name: judge(check, facts).level for name, check in cluster_checks.CHECKS.items()}


def doctor(cluster: Cluster, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | cluster.environment | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "pipeline/doctor.py", f"sweeps_dir={folder}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def good(no_cluster):
    with Cluster.up(GOOD) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def bad(no_cluster):
    with Cluster.up(BAD) as cluster:
        yield cluster


def test_silent_with_good_settings(good, monkeypatch):
    assert {name: level for name, level in levels(good, "scavenge", monkeypatch).items() if level != "ok"} == {}


def test_each_bad_setting_is_found(bad, monkeypatch):
    found = levels(bad, "scavenge", monkeypatch)
    expected = dict.fromkeys(
        ["grace_time", "user_signal", "requeue", "array_size", "kill_wait", "job_age", "gpus", "memory_limit",
         "memory_counted"], "warn",
    ) | {"time_limit": "problem", "job_count": "problem"}  # fmt: skip
    assert {name: level for name, level in found.items() if level != "ok"} == expected
    assert levels(bad, "cancelled", monkeypatch)["preemption"] == "problem"
    assert levels(bad, "closed", monkeypatch)["nodes_up"] == "problem"
    bad.drain("n2")
    assert levels(bad, "scavenge", monkeypatch)["nodes_up"] == "warn"
    bad.resume("n2")


def test_a_probe_job_says_what_a_node_is_like(good, bad, tmp_path):
    fake = doctor(good, tmp_path)
    assert fake.returncode == 1, fake.stdout + fake.stderr
    assert "a job runs there, finds this package" in fake.stdout
    assert "Slurm gave GPU 0, but PyTorch sees none" in fake.stdout  # the cluster's GPUs are fake
    assert fake.stdout.splitlines()[-1].startswith("1 problem, ")
    assert not list(tmp_path.iterdir())
    none = doctor(bad, tmp_path, "partition=main")
    assert none.returncode == 0, none.stdout + none.stderr
    assert "PyTorch sees none" not in none.stdout


def test_a_probe_that_cannot_start_is_told(good, tmp_path):
    for node in ("n1", "n2"):
        good.drain(node)
    waiting = doctor(good, tmp_path, "probe_seconds=3")
    assert "0 of 2 nodes of partition main can be used" in waiting.stdout
    assert "the probe job is PENDING" in waiting.stdout and waiting.returncode == 1
    for node in ("n1", "n2"):
        good.resume(node)
    assert good.run("squeue", "-h", "-o", "%i") == ""


def test_mistakes_and_a_controller_that_is_away(good, tmp_path):
    wrong = doctor(good, tmp_path, "partition=scavnge")
    assert wrong.returncode == 2 and "did you mean scavenge?" in wrong.stderr
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "manifest.json").write_text(json.dumps({"runs": [{}] * 30000}))
    many = doctor(good, tmp_path, "probe=false")
    assert many.returncode == 1 and "a sweep of 30000 runs" in many.stdout
    good.stop_controller()
    away = doctor(good, tmp_path)
    good.start_controller()
    assert away.returncode == 1 and away.stderr == "" and "problem  Slurm does not answer" in away.stdout
    assert "the bundled model can be read" in away.stdout
