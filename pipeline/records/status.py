"""The status of a sweep's runs, from disk alone: the one definition of a run's status.

Needs neither torch nor pandas: `status.py` reads a thousand runs in a fraction of a second.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config.accepted import NAME
from pipeline.config.hints import hint
from pipeline.errors import DamagedFile, UserError
from pipeline.records.finished import Damage, damages, read_failure, read_record, say_damages
from pipeline.storage.layout import (
    CONFIG,
    LEASE,
    MANIFEST,
    PROGRESS,
    RUNS,
    SHARED,
    TASKS,
    runs_folder,
    sweep_folder,
)
from pipeline.storage.lease import is_alive
from pipeline.storage.reading import DENIED, Parts, folder_fault, problem, read_object, say, whole_object

RUNNING_SECONDS = 120.0
"""A run of another machine whose progress.json and lease.json are older than this is no longer running."""
OF_PROGRESS: Parts = {"step": int, "steps": int, "time": (int, float)}
OF_ENTRY = {"run": str, "evaluation": str, "settings": dict}
OF_TASK: dict[str, type] = {"task": int, "pack": str, "runs": list, "attempt": int} | dict.fromkeys(
    ("executor", "job_id", "log", "state", "reason"), str
)


@dataclass(frozen=True)
class RunOnDisk:
    """The files of one declared run so far; None for an absent file."""

    entry: Mapping[str, Any]  # of the manifest: run, evaluation, settings
    record: dict[str, Any] | None
    failure: dict[str, Any] | None
    progress: dict[str, Any] | None
    lease: dict[str, Any] | None  # of the process that works on it, or did; `beat` is its last sign of life
    trained: bool
    damaged: str  # what is wrong with the file in the record's place, or with the folder
    damages: tuple[Damage, ...] = ()  # files that differ from the record

    @property
    def is_done(self) -> bool:
        """Whether it has its record, and no file that a launch writes again is missing or damaged."""
        return self.record is not None and not any(damage.is_rewritten for damage in self.damages)

    def is_running(self, now: float) -> bool:
        if self.is_done or self.failure is not None:
            return False
        lives = is_alive(self.lease) if self.lease else None
        if lives is not None:
            return lives
        signs = [float((self.progress or {}).get("time", 0)), float((self.lease or {}).get("beat", 0))]
        return now - max(signs) < RUNNING_SECONDS


def sweeps_on_disk(sweeps_dir: Path) -> list[str]:
    """Names of the sweeps that have a manifest, or a folder in which nobody can look for one."""
    if not sweeps_dir.is_dir():
        return []
    return sorted(folder.name for folder in sweeps_dir.iterdir() if _may_be_a_sweep(folder))


def _may_be_a_sweep(folder: Path) -> bool:
    try:
        (folder / MANIFEST).lstat()
    except PermissionError:
        return folder.name not in {RUNS, SHARED} and NAME.holds(folder.name)
    except OSError:
        return False
    return True


def one_sweep(sweep: str, on_disk: Sequence[str]) -> str:
    """Returns the sweep's name. Raises: UserError, where it is not on disk."""
    if sweep not in on_disk:
        raise UserError(f"sweep={sweep} is not on disk{hint(sweep, on_disk, said='on disk')}")
    return sweep


@dataclass(frozen=True)
class SweepOnDisk:
    """A sweep at one moment, each of its files read once."""

    name: str
    runs: Sequence[tuple[RunOnDisk, str]]  # every declared run with its status, in the order of the manifest
    tasks: Sequence[dict[str, Any]]


def read_sweep_on_disk(sweeps_dir: Path, sweep: str, now: float | None = None) -> SweepOnDisk:
    """Read a sweep.

    Args:
        now: seconds since the epoch, by which the age of progress is judged; the present by default.

    Raises:
        UserError: the manifest is damaged.
    """
    runs = [read_run(runs_folder(sweeps_dir), entry) for entry in declared_runs(sweeps_dir, sweep)]
    say_damages(damage for run in runs for damage in run.damages)
    moment = time.time() if now is None else now
    some_running = any(run.is_running(moment) for run in runs)
    tasks = read_tasks(sweeps_dir, sweep)
    open_tasks = [task for task in tasks if task["ended"] is None and task["executor"] == "slurm"]
    submitted = {name for task in open_tasks for name in task["runs"]}
    found = [(run, status(run, moment, some_running or run.entry["run"] in submitted)) for run in runs]
    return SweepOnDisk(sweep, found, tasks)


def declared_runs(sweeps_dir: Path, sweep: str) -> list[dict[str, Any]]:
    """The runs that a sweep's manifest declares; none without a manifest.

    Raises:
        UserError: it is damaged, so that nobody knows.
    """
    path = sweep_folder(sweeps_dir, sweep) / MANIFEST
    try:
        content = read_object(path, {"runs": list}) or {"runs": []}
    except DamagedFile as error:
        again = f"the command that launched {sweep} writes it again"
        advice = "make it accessible" if error.why == DENIED else again
        raise UserError(f"{error}: {advice}") from error
    runs: list[dict[str, Any]] = content["runs"]
    if not all(holds(entry, OF_ENTRY) for entry in runs):
        raise UserError(
            f"{path} cannot be read (it declares no runs): the command that launched {sweep} writes it again"
        )
    return runs


def read_tasks(sweeps_dir: Path, sweep: str) -> list[dict[str, Any]]:
    """The tasks in tasks.json, in the order of submission; `ended` is None for a task not known to have ended."""
    path = sweep_folder(sweeps_dir, sweep) / TASKS
    tasks: list[dict[str, Any]] = (whole_object(path, {"tasks": list}) or {"tasks": []})["tasks"]
    if not all(holds(task, OF_TASK) and "ended" in task for task in tasks):
        say(f"{path} cannot be read (it lists no tasks): treated as missing")
        return []
    return tasks


def holds(found: Any, parts: Mapping[str, type]) -> bool:
    return isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in parts.items())


def read_run(folder_of_runs: Path, entry: Mapping[str, Any]) -> RunOnDisk:
    """Read one run's folder; unreadable files are reported on stderr."""
    folder = folder_of_runs / entry["run"]
    record, damaged = read_record(folder, entry["evaluation"])
    found = tuple(damages(folder, record)) if record is not None else ()
    if record is not None and not any(damage.is_rewritten for damage in found):
        return RunOnDisk(entry, record, None, None, None, trained=True, damaged="", damages=found)
    return replace(read_without_record(folder, entry), record=record, damaged=damaged, damages=found)


def read_without_record(folder: Path, entry: Mapping[str, Any]) -> RunOnDisk:
    """Read everything but the record."""
    if folder_fault(folder):
        return RunOnDisk(entry, None, None, None, None, trained=False, damaged="")
    failure, progress = read_failure(folder), whole_object(folder / PROGRESS, OF_PROGRESS)
    trained = not problem(folder / CONFIG)
    return RunOnDisk(entry, None, failure, progress, lease_of(folder), trained, damaged="")


def lease_of(folder: Path) -> dict[str, Any] | None:
    """The lease of a folder, with its heartbeat `beat`, in seconds since the epoch; 0 where its process has ended."""
    lease = whole_object(folder / LEASE, {"host": str})
    if lease is None:
        return None
    with suppress(FileNotFoundError):
        return lease | {"beat": 0.0 if lease.get("ended") else (folder / LEASE).stat().st_mtime}
    return None


def status(run: RunOnDisk, now: float, some_running: bool) -> str:
    """One of done, failed, running, waiting, missing."""
    if run.is_done:
        return "done"
    if run.failure is not None:
        return "failed"
    if run.is_running(now):
        return "running"
    return "waiting" if some_running and not run.damaged and not run.damages else "missing"


def reason(run: RunOnDisk, state: str) -> str | None:
    """Why a run is failed or missing, in a few words."""
    if run.failure is not None:
        kind, why = run.failure.get("error", "error"), run.failure.get("reason", "")
        return f"{kind} at step {run.failure.get('step', '?')}" + (f": {why}" if why and why != kind else "")
    if state != "missing":
        return None
    if run.damaged:
        return run.damaged
    mended = [damage for damage in run.damages if damage.is_rewritten]
    if mended:
        return f"{mended[0].path.name}: {mended[0]}"
    if run.trained:
        return "trained, but not evaluated as this sweep asks"
    if run.progress is not None and run.progress.get("phase") == "loading":
        return "stopped before its first step"
    if run.progress is not None:
        return f"stopped after step {run.progress.get('step', '?')} of {run.progress.get('steps', '?')}"
    return "not begun"


def largest_sweep(sweeps_dir: Path) -> int:
    """Runs of the largest sweep on disk; 0 without one."""
    manifests = (whole_object(sweeps_dir / name / MANIFEST, {"runs": list}) for name in sweeps_on_disk(sweeps_dir))
    return max((len(manifest["runs"]) for manifest in manifests if manifest), default=0)
