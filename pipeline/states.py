"""What a sweep's runs have come to, read from disk alone: the one definition of a run's status.

Needs neither torch nor pandas: `status.py` reads a thousand runs in a fraction of a second.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files import is_as_stated, is_whole
from pipeline.lease import is_alive

RUNNING_SECONDS = 120.0
"""A run of another machine whose progress.json and lease.json are older than this is no longer running."""


@dataclass(frozen=True)
class RunOnDisk:
    """What one declared run has left so far; None is a file that is absent."""

    entry: Mapping[str, Any]  # of the manifest: run, evaluation, settings
    record: dict[str, Any] | None
    failure: dict[str, Any] | None
    progress: dict[str, Any] | None
    lease: dict[str, Any] | None  # of the process that works on it, or did; `beat` is its last sign of life
    trained: bool
    damaged: bool  # there is a metrics.json that cannot be read, or beside it another history than it says

    def is_running(self, now: float) -> bool:
        if self.record is not None or self.failure is not None:
            return False
        lives = is_alive(self.lease) if self.lease else None
        if lives is not None:
            return lives
        signs = [float((self.progress or {}).get("time", 0)), float((self.lease or {}).get("beat", 0))]
        return now - max(signs) < RUNNING_SECONDS


def sweeps_on_disk(sweeps_dir: Path) -> list[str]:
    """Names of the sweeps that have a manifest."""
    return sorted(path.parent.name for path in sweeps_dir.glob("*/manifest.json"))


def read_states(sweeps_dir: Path, sweep: str, now: float | None = None) -> list[tuple[RunOnDisk, str]]:
    """Every declared run of a sweep with its status, in the order of the manifest.

    Args:
        now: seconds since the epoch, against which progress is old or young; the present by default.

    Raises:
        UserError: the manifest is damaged.
    """
    runs = [read_run(sweeps_dir / "runs", entry) for entry in declared_runs(sweeps_dir, sweep)]
    moment = time.time() if now is None else now
    some_running = any(run.is_running(moment) for run in runs)
    tasks = [task for task in read_tasks(sweeps_dir, sweep) if task["ended"] is None and task["executor"] == "slurm"]
    submitted = {name for task in tasks for name in task["runs"]}
    return [(run, status(run, moment, some_running or run.entry["run"] in submitted)) for run in runs]


def declared_runs(sweeps_dir: Path, sweep: str) -> list[dict[str, Any]]:
    """The runs that a sweep's manifest declares; none without a manifest.

    Raises:
        UserError: it is damaged, so that nobody knows.
    """
    path = sweeps_dir / sweep / "manifest.json"
    content, problem = _read(path)
    if problem or (content is not None and not isinstance(content.get("runs"), list)):
        why = problem or "it declares no runs"
        raise UserError(f"{path} cannot be read ({why}): the command that launched {sweep} writes it anew")
    runs: list[dict[str, Any]] = (content or {"runs": []})["runs"]
    return runs


def read_tasks(sweeps_dir: Path, sweep: str) -> list[dict[str, Any]]:
    """What tasks.json holds, in the order of submission; `ended` is None for a task not known to have ended."""
    tasks: list[dict[str, Any]] = (read_object(sweeps_dir / sweep / "tasks.json") or {}).get("tasks", [])
    return tasks


def read_run(folder_of_runs: Path, entry: Mapping[str, Any]) -> RunOnDisk:
    """Everything that aggregation wants from one run's folder; unreadable files are named on stderr."""
    folder = folder_of_runs / entry["run"]
    record, damaged = _read_record(folder, entry["evaluation"])
    if record is not None:
        return RunOnDisk(entry, record, None, None, None, trained=True, damaged=False)
    failure, progress = read_object(folder / "failure.json"), read_object(folder / "progress.json")
    return RunOnDisk(entry, None, failure, progress, _lease(folder), (folder / "history.csv").is_file(), damaged)


def _lease(folder: Path) -> dict[str, Any] | None:
    """The lease of a run, with its heartbeat; a process that ended in order has none."""
    lease = read_object(folder / "lease.json")
    if lease is None:
        return None
    with suppress(FileNotFoundError):
        return lease | {"beat": 0.0 if lease.get("ended") else (folder / "lease.json").stat().st_mtime}
    return None


def _read_record(folder: Path, evaluation: str) -> tuple[dict[str, Any] | None, bool]:
    """The record of one evaluation, and whether a file that might have been it is damaged."""
    damaged = False
    for path in (folder / "metrics.json", folder / f"evaluation-{evaluation}" / "metrics.json"):
        content = read_object(path, parts=("settings", "identity", "evaluation", "metrics"))
        if content is not None and content["evaluation"].get("id") == evaluation:
            if is_as_stated(folder / "history.csv", content.get("history_sha256")):
                return content, False
            print(f"{folder}/history.csv is not what its record says: taken as missing", file=sys.stderr)
            damaged = True
        damaged |= content is None and path.is_file()
    return None, damaged


def read_object(path: Path, parts: Sequence[str] = ()) -> dict[str, Any] | None:
    """A JSON object with the given parts; None if the file is absent, or damaged, which stderr then says.

    `pipeline.record` has a reader too, but importing it takes torch, and so longer than a whole aggregation.
    """
    content, problem = _read(path, parts)
    if problem:
        print(f"{path} cannot be read ({problem}): taken as missing", file=sys.stderr)
    return content


def _read(path: Path, parts: Sequence[str] = ()) -> tuple[dict[str, Any] | None, str]:
    """A JSON object, or what is wrong with it; neither where there is no file."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError) as error:
        return None, str(error)
    lacking = [part for part in parts if not isinstance(content, dict) or not isinstance(content.get(part), dict)]
    if lacking or not isinstance(content, dict):
        return None, f"it has no {lacking[0]}" if lacking else "it is no JSON object"
    return (content, "") if is_whole(content) else (None, "its checksum differs")


def status(run: RunOnDisk, now: float, some_running: bool) -> str:
    """One of done, failed, running, waiting, missing."""
    if run.record is not None:
        return "done"
    if run.failure is not None:
        return "failed"
    if run.is_running(now):
        return "running"
    return "waiting" if some_running and not run.damaged else "missing"


def reason(run: RunOnDisk, state: str) -> str | None:
    """Why a run is failed or missing, in a few words."""
    if run.failure is not None:
        kind, why = run.failure.get("error", "error"), run.failure.get("reason", "")
        return f"{kind} at step {run.failure.get('step', '?')}" + (f": {why}" if why and why != kind else "")
    if state != "missing":
        return None
    if run.damaged:
        return "its record is damaged"
    if run.trained:
        return "trained, but not evaluated as this sweep asks"
    if run.progress is not None and run.progress.get("phase") == "loading":
        return "stopped before its first step"
    if run.progress is not None:
        return f"stopped after step {run.progress.get('step', '?')} of {run.progress.get('steps', '?')}"
    return "not begun"


def largest_sweep(sweeps_dir: Path) -> int:
    """Runs of the largest sweep on disk; 0 without one."""
    manifests = (read_object(sweeps_dir / name / "manifest.json") or {} for name in sweeps_on_disk(sweeps_dir))
    return max((len(manifest.get("runs", [])) for manifest in manifests), default=0)
