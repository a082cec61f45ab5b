"""A sweep's status in lines for a terminal, from disk and one call of squeue."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.monitoring.naming import LEAST, short_names
from pipeline.records.status import RunOnDisk, SweepOnDisk, one_sweep, read_sweep_on_disk, reason, sweeps_on_disk
from pipeline.records.verify import verify
from pipeline.runtime import streams
from pipeline.runtime.durations import clock
from pipeline.slurm import squeue
from pipeline.storage.places import door

STATES = ("done", "running", "waiting", "failed", "missing")
ROWS_SHOWN = 15
"""Number of runs listed per status; the others are counted."""
LISTED = ("running", "failed", "waiting", "missing")
"""Statuses whose runs are listed, in this order."""


@dataclass(frozen=True)
class Cluster:
    """What Slurm says about the tasks of a sweep; `note` says why it has no answer."""

    rows: Mapping[str, squeue.Row]
    note: str = ""


def ask_slurm(tasks: Sequence[Mapping[str, Any]]) -> Cluster:
    """Call squeue once for all tasks that are not known to have ended."""
    open_tasks = [task for task in tasks if task["executor"] == "slurm" and task["ended"] is None]
    numbers = [task["job_id"] for task in open_tasks if task["job_id"][:1].isdigit()]
    if not numbers:
        return Cluster({})
    if shutil.which("squeue") is None:
        return Cluster({}, "no squeue here: the state of the tasks in Slurm is not shown")
    try:
        return Cluster(squeue.jobs(numbers))
    except squeue.NoAnswer as error:
        return Cluster({}, f"Slurm does not answer ({error}): what it last said is shown")


def lines(sweep: SweepOnDisk, width: int = 10_000) -> Iterator[str]:
    """The report on one sweep; names of runs are shortened where lines would not fit into `width`."""
    cluster = ask_slurm(sweep.tasks)
    task_of = {name: task for task in sweep.tasks for name in task["runs"]}
    runs = [(run, _as_slurm_knows(state, task_of.get(run.entry["run"]), cluster)) for run, state in sweep.runs]
    counts = {state: sum(found == state for _, found in runs) for state in STATES}
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    yield f"{sweep.name}: {len(runs)} runs: {', '.join(parts) or 'none is declared'}{_left(runs)}"
    if cluster.note:
        yield f"  {cluster.note}"
    for state in LISTED:
        chosen = [run for run, found in runs if found == state]
        told = {
            run.entry["run"]: _about(run, state, task_of.get(run.entry["run"]), cluster) for run in chosen[:ROWS_SHOWN]
        }
        names = short_names(list(told), max(LEAST, width - 13 - max(map(len, told.values()), default=0)))
        yield from (f"  {state:8} {names[name]}  {about}" for name, about in told.items())
        if len(chosen) > ROWS_SHOWN:
            yield f"  {state:8} and {len(chosen) - ROWS_SHOWN} more"


def _as_slurm_knows(state: str, task: Mapping[str, Any] | None, cluster: Cluster) -> str:
    """A run whose task Slurm has requeued is waiting, even if its last heartbeat is recent."""
    row = cluster.rows.get(task["job_id"]) if task else None
    return "waiting" if state == "running" and row and row.state in {"PENDING", "REQUEUE_HOLD", "REQUEUED"} else state


def _left(runs: Sequence[tuple[RunOnDisk, str]]) -> str:
    """Estimated time until the running runs are trained, and until the waiting ones are too, at the present speed."""
    progresses = [run.progress or {} for run, state in runs if state == "running"]
    training = [each for each in progresses if each.get("phase") in {"training", "activations"}]
    known = [each["eta_seconds"] for each in training if each.get("eta_seconds") is not None]
    if not known:
        return ""
    parts = [f"; those running are trained in {clock(max(known))}"]
    speed = sum(each.get("steps_per_second", 0) for each in training if each["step"] < each["steps"])
    waiting = [run.entry["settings"].get("train", {}).get("steps") for run, state in runs if state == "waiting"]
    if waiting and speed and None not in waiting:
        left = sum(waiting) + sum(each["steps"] - each["step"] for each in training)
        parts.append(f"all in {clock(max(left / speed, *known))}")
    return ", ".join(parts) + ", evaluation comes after that"


def _about(run: RunOnDisk, state: str, task: Mapping[str, Any] | None, cluster: Cluster) -> str:
    if state == "running":
        return f"{_progress(run.progress)}, {_where(run, task, cluster)}"
    if state == "waiting":
        return _why_waiting(task, cluster)
    where = f" ({task['log']})" if task and task.get("log") else ""
    return f"{reason(run, state)}{where}"


def _progress(progress: Mapping[str, Any] | None) -> str:
    """training: step 300/5,000, L0 20.1, loss 0.8, 24,000 tokens/s, ETA 3 min"""
    if not progress:
        return "starting"
    phase = str(progress.get("phase", "training"))
    if phase == "loading":
        return phase
    if phase == "evaluating":
        return f"evaluating {100 * progress['share']:.0f} %{_eta(progress)}"
    values = [f"{phase}: step {progress['step']:,}/{progress['steps']:,}"]
    for key, text in (("l0", "L0 {:.1f}"), ("loss", "loss {:.4g}"), ("tokens_per_second", "{:,.0f} tokens/s")):
        if progress.get(key) is not None:
            values.append(text.format(progress[key]))
    return ", ".join(values) + _eta(progress)


def _eta(progress: Mapping[str, Any]) -> str:
    """Time left of the phase of the run's pack."""
    left = progress.get("eta_seconds")
    return "" if left is None else f", ETA {clock(left)}"


def _where(run: RunOnDisk, task: Mapping[str, Any] | None, cluster: Cluster) -> str:
    host = f"on {run.lease['host']}" if run.lease else ""
    if task is None or task["executor"] != "slurm":
        return host or "on this machine"
    row = cluster.rows.get(task["job_id"])
    state = row.state if row else task["state"]
    return f"{host or (f'on {row.node}' if row and row.node else '')} job {task['job_id']} {state}".strip()


def _why_waiting(task: Mapping[str, Any] | None, cluster: Cluster) -> str:
    if task is None or task["executor"] != "slurm":
        return "for its turn"
    row = cluster.rows.get(task["job_id"])
    if row is None:
        if not task["job_id"]:
            return "not submitted yet: the command that launched it submits it"
        known = f"job {task['job_id']}: last known as {task['state']}"
        return known + (f": {task['reason']}" if task["reason"] else "")
    advice = squeue.advice(row, task["job_id"])
    return f"job {task['job_id']} {row.state} ({row.reason})" + (f": {advice}" if advice else "")


def report(sweeps_dir: Path, sweep: str | None, verifying: bool) -> int:
    """Print the status of one sweep, or of every sweep on disk.

    Returns:
        The exit code: 1 where there is no sweep, or where `verifying` finds a damaged file; 2 where a sweep cannot be
        read.
    """
    return _print_status(sweeps_dir, sweep, verifying, "")


def watch(sweeps_dir: Path, sweep: str | None, verifying: bool, pause: float) -> int:
    """Print it again every `pause` seconds, below the time of day, until standard output is closed."""
    while True:
        clear = "\033[H\033[2J" if sys.stdout.isatty() else ""
        code = _print_status(sweeps_dir, sweep, verifying, f"{clear}{time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        if streams.lost() or not sweeps_on_disk(sweeps_dir):
            return code
        time.sleep(pause)


def _print_status(sweeps_dir: Path, sweep: str | None, verifying: bool, heading: str) -> int:
    on_disk = sweeps_on_disk(sweeps_dir)
    if not on_disk and sweep is None:
        print(f"no sweep on disk: {sweeps_dir} has no manifest; {door('run')} writes one", file=sys.stderr)
        return 1
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    whole, found, code = True, list[str](), 0
    for name in on_disk if sweep is None else [one_sweep(sweep, on_disk)]:
        try:
            read = read_sweep_on_disk(sweeps_dir, name)
        except UserError as error:  # of this sweep: the others are shown
            print(f"error: {error}", file=sys.stderr)
            code = 2
            continue
        found += lines(read, width)
        damaged = verify(sweeps_dir, read) if verifying else []
        found += [f"  damaged  {line}" for line in damaged]
        if verifying and not damaged:
            found.append("  verified: every file is as it was written")
        whole &= not damaged
    print(heading + "\n".join(found), flush=True)
    return code if whole else 1
