"""Packs in processes on this machine: same bits, deaths halved, stops handed on, one launch at a time."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.storage.lease import process_start
from pipeline.storage.reading import whole_object
from tests.launching.sweeps import (
    Culprit,
    arguments,
    assert_same_runs,
    checkpoints,
    finish,
    launch,
    lease,
    start,
    tasks,
    wait_for,
)

pytestmark = pytest.mark.slow


def test_a_killed_pack_is_halved_until_the_culprit_is_alone(undisturbed, tiny_model, tiny_text, tmp_path):
    with Culprit(tmp_path, "gated-lam4") as culprit:
        code, output = launch(arguments(tiny_model, tiny_text, tmp_path))
    assert code == 1 and len(culprit.killed) == 3, output
    failed = next(tmp_path.glob("runs/*gated-lam4*"))
    failure = whole_object(failed / "failure.json")
    assert failure and failure["error"] == "ProcessKilled" and "again in halves" in output, failure
    assert failure["reason"].startswith("killed by the system (out of memory?): signal 9, SIGKILL; alone in its pack")
    assert failure["reason"] in output, "it is named at the end"
    assert_same_runs(undisturbed, tmp_path, but=[failed.name])
    sizes = [(len(task["runs"]), task["attempt"], task["split_from"]) for task in tasks(tmp_path)]
    assert sizes == [(4, 1, None), (2, 2, 1), (2, 2, 1), (1, 3, 3), (1, 3, 3)]


def forwards(folder: Path) -> int:
    """Of all packs of a sweep that nothing disturbed."""
    attempts = [whole_object(path)["attempts"][-1] for path in folder.glob("runs/*/execution.json")]
    return sum({attempt["process"]: attempt["language_model_forwards"] for attempt in attempts}.values())


def test_two_processes_pass_the_model_over_the_text_once(undisturbed, tiny_model, tiny_text, tmp_path):
    code, output = launch(arguments(tiny_model, tiny_text, tmp_path, "hydra.launcher.slots=2"))
    assert code == 0 and "task 2: 2 runs" in output, output
    assert_same_runs(undisturbed, tmp_path)
    assert forwards(undisturbed) > 800 and forwards(tmp_path) < 1.5 * forwards(undisturbed)
    assert not (tmp_path / "tiny" / "blocks").exists()


def test_ctrl_c_saves_in_both_slots_and_the_same_command_goes_on(undisturbed, tiny_model, tiny_text, tmp_path):
    words = arguments(tiny_model, tiny_text, tmp_path, "hydra.launcher.slots=2")
    process = start(words)
    wait_for(lambda: len({path.parent for path in checkpoints(tmp_path)}) == 4)
    os.kill(process.pid, signal.SIGINT)
    code, output = finish(process)
    assert code == 130 and "the same command continues" in output, output
    stopped = tasks(tmp_path)
    assert [len(task["runs"]) for task in stopped] == [2, 2] and len({task["job_id"] for task in stopped}) == 2
    assert all(task["ended"] and not process_start(int(task["job_id"])) for task in stopped)
    code, output = launch(words)
    assert code == 0 and "resumed at step" in "".join(p.read_text() for p in tmp_path.glob("tiny/logs/*")), output
    assert_same_runs(undisturbed, tmp_path)
    done = tasks(tmp_path)[2:]
    assert [(len(task["runs"]), task["state"], task["attempt"]) for task in done] == [(2, "COMPLETED", 1)] * 2
    assert [(len(task["runs"]), task["state"]) for task in tasks(undisturbed)] == [(4, "COMPLETED")]
    assert not list(tmp_path.glob("runs/*/lease.json"))


@contextmanager
def suspended(folder: Path) -> Iterator[None]:
    """Hold a sweep's processes, so that they are not done before a further command has begun."""
    pids = [int(task["job_id"]) for task in tasks(folder) if task["ended"] is None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_second_launch_is_refused_and_a_killed_one_succeeded(undisturbed, tiny_model, tiny_text, tmp_path):
    words = arguments(tiny_model, tiny_text, tmp_path, "hydra.launcher.slots=2")
    first = start(words)
    wait_for(lambda: checkpoints(tmp_path))
    with suspended(tmp_path):
        code, output = launch(words)
        assert code == 2 and len(output.strip().splitlines()) == 1 and f"process {first.pid}" in output, output
        first.kill()
    finish(first)
    code, output = launch(words)
    assert code == 0, output
    assert_same_runs(undisturbed, tmp_path)
    assert any(task["reason"] == "its launcher was killed" for task in tasks(tmp_path))


def test_a_single_run_leaves_a_run_alone_that_a_sweep_trains(undisturbed, tiny_model, tiny_text, tmp_path):
    words = arguments(tiny_model, tiny_text, tmp_path, steps=4000)
    first = start(words)
    wait_for(lambda: checkpoints(tmp_path))
    one = [word for word in words if not word.startswith(("architecture", "sparsity", "sweep_name", "hydra"))]
    with suspended(tmp_path):
        code, output = launch([*one, "architecture=gated", "sparsity_coefficient=4"])
        assert code == 1 and f"left to process {tasks(tmp_path)[0]['job_id']}" in output, output
        os.kill(first.pid, signal.SIGINT)
    assert finish(first)[0] == 130
    assert all(lease(run)["ended"] for run in tmp_path.glob("runs/*"))
