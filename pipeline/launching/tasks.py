"""sweeps/<sweep>/tasks.json: every task ever started for a sweep, with its pack, its runs and how it ended.

Next to it, each pack is a file of plain JSON, named by its content. A worker reads the runs from it, through the typed
checks of the configuration.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipeline.config.schema import Execution, Job, RunConfig, TrackerConfig, plain
from pipeline.errors import DamagedFile, UserError
from pipeline.records.identity import run_name
from pipeline.records.status import read_tasks
from pipeline.storage.files import short_hash, write_checksummed, write_json
from pipeline.storage.layout import TASKS, pack_file
from pipeline.storage.reading import read_bytes, whole_object

WAITING, SUBMITTING, RUNNING = "WAITING", "SUBMITTING", "RUNNING"
COMPLETED, FAILED, CANCELLED, LOST = "COMPLETED", "FAILED", "CANCELLED", "LOST"
KILLED = {FAILED, "OUT_OF_MEMORY"}
"""The process died, or no run of the pack could go on: the pack is tried again in halves."""
INTERRUPTED = {LOST, "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "TIMEOUT", "DEADLINE", "REVOKED"}
"""Nothing is wrong with the pack: it is tried again unchanged."""
FINAL = KILLED | INTERRUPTED | {COMPLETED, CANCELLED}


@dataclass
class Task:
    """One attempt at one pack. States have Slurm's names, also on this machine."""

    task: int
    pack: str
    runs: list[str]
    attempt: int = 1
    executor: str = "local"
    job_id: str = ""
    log: str = ""
    submitted: float | None = None
    split_from: int | None = None
    ended: float | None = None
    state: str = WAITING
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """Why a whole pack could not be trained, from its worker."""

    error: str
    reason: str
    user: bool  # whether only the user can fix it (a setting, a file, the disk): trying again would not help


def read_outcome(path: Path) -> Outcome | None:
    """What a worker left; None where it left nothing, because it ended well or was killed."""
    found = whole_object(path, {"error": str, "reason": str, "user": bool})
    return Outcome(found["error"], found["reason"], found["user"]) if found else None


@dataclass(frozen=True)
class PackFile:
    """What one task trains."""

    runs: Sequence[RunConfig]
    execution: Execution
    tracker: TrackerConfig


def read_pack(path: Path) -> PackFile:
    """Raises: UserError, when the file is damaged or holds what the configuration does not accept."""
    from pipeline.cli.validate import checked_job

    if not _is_whole_pack(path):
        raise UserError(f"{path} is absent or damaged: the command that launched this sweep writes it again")
    content = json.loads(read_bytes(path))
    shared = {key: content[key] for key in ("execution", "tracker", "sweep_name")}
    jobs = [checked_job(shared | run) for run in content["runs"]]
    return PackFile([job.run for job in jobs], jobs[0].execution, jobs[0].tracker)


def _is_whole_pack(path: Path) -> bool:
    """Whether a pack file holds what it is named by."""
    try:
        return short_hash(json.loads(read_bytes(path))) == path.stem
    except (FileNotFoundError, DamagedFile, ValueError, RecursionError):
        return False


class TaskTable:
    """The tasks of a sweep.

    Args:
        on_disk: whether the table is written; false for a single run, which keeps only its own folder.
    """

    def __init__(self, folder: Path, tasks: Sequence[Task] = (), on_disk: bool = True) -> None:
        self.folder, self.tasks, self.on_disk = folder, list(tasks), on_disk
        self._written = ""
        self._packs: dict[str, PackFile] = {}

    @classmethod
    def read(cls, folder: Path) -> "TaskTable":
        """The table on disk; empty where it is damaged: the leases of its runs still protect them."""
        known = {field.name for field in fields(Task)}
        found = read_tasks(folder.parent, folder.name)
        return cls(folder, [Task(**{key: value for key, value in task.items() if key in known}) for task in found])

    def save(self) -> None:
        """Write the table if it has changed."""
        content = {"tasks": [asdict(task) for task in self.tasks]}
        text = json.dumps(content)
        if self.on_disk and text != self._written:
            write_checksummed(self.folder / TASKS, content)
            self._written = text

    def add(self, pack: str, executor: str, after: Task | None = None) -> Task:
        """Add a task.

        Args:
            after: the task whose runs it takes over, all or some of them.
        """
        number = max((t.task for t in self.tasks), default=0) + 1
        runs = [run_name(run) for run in self.pack(pack).runs]
        task = Task(number, pack, runs, after.attempt + 1 if after else 1, executor)
        if after and len(runs) < len(after.runs):
            task.split_from = after.task
        self.tasks.append(task)
        return task

    def add_pack(self, runs: Sequence[RunConfig], job: Job, execution: Execution) -> str:
        """Write packs/<hash>.json; returns that path, relative to the sweep's folder."""
        shared = {"execution": plain(execution), "tracker": plain(job.tracker), "sweep_name": job.sweep_name}
        content = shared | {"runs": [plain(run) for run in runs]}
        name = pack_file(short_hash(content))
        if self.on_disk and not _is_whole_pack(self.folder / name):
            write_json(self.folder / name, content)
        self._packs[name] = PackFile(runs, execution, job.tracker)
        return name

    def pack(self, name: str) -> PackFile:
        if name not in self._packs:
            self._packs[name] = read_pack(self.folder / name)
        return self._packs[name]

    def where(self, condition: Callable[[Task], bool]) -> list[Task]:
        return [task for task in self.tasks if condition(task)]

    @property
    def open(self) -> list[Task]:
        return self.where(lambda task: task.ended is None)

    def submitted(self) -> str:
        """How many of the open tasks their executor has taken on, in words."""
        waiting = sum(task.state == WAITING for task in self.open)
        return f"{len(self.open) - waiting} tasks submitted" + (f", {waiting} not yet" if waiting else "")

    def end(self, task: Task, state: str, reason: str = "") -> None:
        task.ended, task.state, task.reason = time.time(), state, reason or task.reason
