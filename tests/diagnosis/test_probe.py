"""The probe job's endings, with an sbatch and a squeue that a test plays."""

import os

import pytest

from pipeline.diagnosis import probe
from pipeline.diagnosis.cluster import ClusterFacts

FACTS = ClusterFacts({}, {"PartitionName": "main"}, [])


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands on PATH: what sbatch does with the job's log, and the state that squeue then tells."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(probe, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(probe, "POLL_SECONDS", 0.05)

    def plays(sbatch: str, state: str) -> list[str]:
        scripts = {"sbatch": sbatch, "squeue": f"echo '5|{state}|n1|doctor|None'", "scancel": "true"}
        for name, body in scripts.items():
            (folder / name).write_text(
                f"#!/bin/sh\nfor a; do case $a in --output=*) log=${{a#*=}};; esac; done\n{body}\n"
            )
            (folder / name).chmod(0o755)
        found = [str(finding) for finding in probe.probe(FACTS, tmp_path / "sweeps", patience=1)]
        assert not list((tmp_path / "sweeps").iterdir())
        return found

    return plays


def test_a_refused_job(slurm):
    found = slurm("echo 'sbatch: error: Invalid account' >&2; exit 1", "")
    assert len(found) == 1 and found[0].startswith("problem") and "Invalid account" in found[0]


def test_a_package_that_the_node_does_not_find(slurm):
    found = slurm("echo \"No module named 'pipeline'\" > $log; echo 5", "FAILED")
    assert len(found) == 1 and "No module named 'pipeline'" in found[0] and "shared disk" in found[0]


def test_a_folder_that_is_not_shared(slurm):
    found = slurm("echo 5", "COMPLETED")
    assert len(found) == 1 and found[0].startswith("problem") and "do not share that folder" in found[0]


def test_a_job_that_does_not_start(slurm):
    found = slurm("echo 5", "PENDING")
    assert len(found) == 1 and found[0].startswith("warn") and "PENDING (None) after 1 s" in found[0]
