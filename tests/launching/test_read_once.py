"""What a launch does once: look at each run, and pack."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.composed import compose
from pipeline.config.launcher import LocalOptions
from pipeline.config.schema import Job, RunConfig
from pipeline.launching import launch as launching
from pipeline.monitoring.results_table import MEASURED
from pipeline.records.sweep import OnDisk
from tests import factories


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    run = compose(["architecture=baseline", "site=mlp_out"])
    return factories.jobs([replace(run, seed=seed) for seed in range(4)], tmp_path, "mine")


def looks(monkeypatch: pytest.MonkeyPatch, found: OnDisk) -> Counter[RunConfig]:
    """How often each run is looked at, where all have come to the same."""
    seen = Counter[RunConfig]()
    monkeypatch.setattr(launching, "on_disk", lambda _, run: seen.update([run]) or found)
    return seen


def test_finished_runs_are_read_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looks(monkeypatch, OnDisk("done", metrics=dict.fromkeys(MEASURED, 1.0)))
    assert launching.launch(jobs, LocalOptions(slots=1))
    assert seen == Counter(job.run for job in jobs)


def test_failed_runs_are_read_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    seen = looks(monkeypatch, OnDisk("failed", failure={"error": "Error", "reason": "no luck"}))
    assert not launching.launch(jobs, LocalOptions(slots=1))
    assert seen == Counter(job.run for job in jobs)
    said = capsys.readouterr().out
    assert "4 runs: 0 done, 0 to resume, 0 to train, 4 failed before" in said
    assert said.count("retry_failed=true tries again") == 4


@pytest.mark.slow
def test_missing_runs_are_read_and_packed_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    seen, packed, pack_up = looks(monkeypatch, OnDisk("missing")), [], launching.pack_up
    monkeypatch.setattr(launching, "pack_up", lambda *given: packed.append(given) or pack_up(*given))
    assert launching.launch(jobs, LocalOptions(slots=1), plan_only=True)
    assert seen == Counter(job.run for job in jobs) and len(packed) == 1
