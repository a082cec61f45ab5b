"""A node that the network cuts off: what ran on it lives on, and finds that it has been replaced."""

import os
import signal
from pathlib import Path

from tests.launching.sweeps import arguments, assert_same_runs, checkpoints, finish, lease, start, tasks, wait_for
from tests.slurm import processes
from tests.slurm.cluster import Cluster
from tests.slurm.test_launcher import SLURM


def everything(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Every file below a folder with its time, but for the jobs' logs and submitit's own files, which a job adds to."""
    files = [path for path in folder.rglob("*") if path.is_file() and "slurm" not in path.relative_to(folder).parts]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def assert_nothing_changed(before: dict[Path, tuple[bytes, int]], after: dict[Path, tuple[bytes, int]]) -> None:
    """But for the line of a log that was being written when the process was stopped: no file is renamed for it."""
    changed = [path for path in after.keys() | before.keys() if before.get(path) != after.get(path)]
    assert len(changed) <= 1 and all(path.name == "log.txt" for path in changed), changed
    for path in changed:
        ahead, line = before[path][0], after[path][0].removeprefix(before[path][0])
        assert after[path][0] == ahead + line and line.count(b"\n") == 1, line


def test_a_worker_that_was_cut_off_changes_nothing_when_it_comes_back(
    cluster: Cluster, undisturbed, tiny_model, tiny_text, tmp_path
):
    launcher = start(arguments(tiny_model, tiny_text, tmp_path, *SLURM), cluster.environment)
    wait_for(lambda: checkpoints(tmp_path))
    (task,) = tasks(tmp_path)
    held = next(found for run in tmp_path.glob("runs/*") if (found := lease(run)))
    old, node = held["pid"], cluster.run("squeue", "-h", "-r", "-o", "%N", "-j", task["job_id"])
    os.kill(old, signal.SIGSTOP)
    try:
        cluster.partition_node(node)
        cluster.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=cut off")
        code, output = finish(launcher)
        assert code == 0, output
        assert_same_runs(undisturbed, tmp_path)
        before = everything(tmp_path)
        assert processes.command_line(old), "it is still there, stopped in the middle of its runs"
    finally:
        os.kill(old, signal.SIGCONT)
    wait_for(lambda: not processes.command_line(old))
    assert_nothing_changed(before, everything(tmp_path))
    log = Path(task["log"]).read_text()
    assert log.count("this process (attempt 1) leaves it alone") == 4, log
    assert [t["job_id"] for t in tasks(tmp_path)] == [task["job_id"]], "the same task, requeued elsewhere"
    cluster.start_node(node)
    cluster.wait_for(lambda: cluster.node_state(node) == "IDLE")
