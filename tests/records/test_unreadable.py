"""Folders and files that may not be read: said in one line each, nothing is lost, and the others go on."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNS = ("site-baseline-000000000001", "site-baseline-000000000002")
HOURS_AGO = time.time() - 7 * 3600


def command(door: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Without root's right to read whatever it likes."""
    rights = "-dac_override,-dac_read_search"
    bare = ["setpriv", "--bounding-set", rights, "--inh-caps", rights] if os.geteuid() == 0 else []
    call = [*bare, sys.executable, f"pipeline/{door}.py", *arguments]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def sweeps(tmp_path: Path) -> Path:
    """Two sweeps of one begun run each."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv")
    for sweep, run in zip(("first", "second"), RUNS, strict=True):
        manifest = {"sweep": sweep, "runs": [{"run": run, "evaluation": "e", "settings": {}}]}
        (tmp_path / sweep).mkdir()
        (tmp_path / sweep / "manifest.json").write_text(json.dumps(manifest))
        folder = tmp_path / "runs" / run
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("training_version: 5\n")
        for path in (folder / "config.yaml", folder):
            os.utime(path, (HOURS_AGO, HOURS_AGO))
    return tmp_path


@pytest.fixture
def closed(sweeps: Path, request: pytest.FixtureRequest) -> Path:
    path = sweeps / str(request.param)
    path.chmod(0)
    request.addfinalizer(lambda: path.chmod(0o755))
    return path


def lines(finished: subprocess.CompletedProcess[str]) -> list[str]:
    return finished.stderr.splitlines()


@pytest.mark.parametrize("closed", ["first", "first/manifest.json"], indirect=True)
def test_a_sweep_that_cannot_be_read_is_named_and_the_others_go_on(sweeps: Path, closed: Path) -> None:
    manifest = sweeps / "first" / "manifest.json"
    status = command("status", f"sweeps_dir={sweeps}")
    assert status.returncode == 2 and status.stdout.startswith("second: 1 runs: 1 missing")
    assert lines(status) == [f"error: {manifest} cannot be read (Permission denied): make it accessible"]
    plotted = command("plot_pareto", f"sweeps_dir={sweeps}", f"results_dir={sweeps / 'results'}")
    assert plotted.returncode == 2 and "second: 1 runs" in plotted.stdout
    assert lines(plotted) == [f"error: first: {manifest} cannot be read (Permission denied): make it accessible"]
    chosen = command("status", f"sweeps_dir={sweeps}", "sweep=first")
    assert lines(chosen) == lines(status) and chosen.returncode == 2


@pytest.mark.parametrize("closed", ["first", "first/manifest.json", "runs"], indirect=True)
def test_nothing_is_deleted_where_nobody_knows_what_is_declared(sweeps: Path, closed: Path) -> None:
    cleaned = command("clean", f"sweeps_dir={sweeps}", "delete=true")
    assert cleaned.returncode == 2 and cleaned.stdout == "" and len(lines(cleaned)) == 1
    assert "Permission denied" in cleaned.stderr and cleaned.stderr.endswith("make it accessible\n")
    closed.chmod(0o755)
    assert {path.name for path in (sweeps / "runs").iterdir()} == set(RUNS)


@pytest.mark.parametrize("closed", [f"runs/{RUNS[0]}", "runs"], indirect=True)
def test_runs_that_cannot_be_read_are_one_line_and_not_damaged(sweeps: Path, closed: Path) -> None:
    status = command("status", f"sweeps_dir={sweeps}")
    assert status.returncode == 0 and "damaged" not in status.stdout + status.stderr
    assert lines(status) == [f"{closed} cannot be read (Permission denied): treated as missing"]
    assert f"missing  {RUNS[0]}  {closed} cannot be read (Permission denied)" in status.stdout


@pytest.mark.parametrize("closed", [f"runs/{RUNS[0]}"], indirect=True)
def test_one_run_that_cannot_be_read_does_not_stop_the_others_from_being_cleaned(sweeps: Path, closed: Path) -> None:
    shutil.rmtree(sweeps / "second")
    cleaned = command("clean", f"sweeps_dir={sweeps}")
    assert cleaned.returncode == 0 and f"runs/{RUNS[1]}  (no sweep on disk declares it)" in cleaned.stdout
    assert lines(cleaned) == [f"{closed}: Permission denied: make it accessible: left alone"]
