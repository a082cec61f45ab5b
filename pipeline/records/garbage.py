"""Files on disk that are no longer needed: found, listed, deleted."""

import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DamagedFile, UserError, disk_error
from pipeline.records.finished import PARTS, damages
from pipeline.records.identity import TRAINING_VERSION
from pipeline.records.status import RUNNING_SECONDS, declared_runs, lease_of, read_without_record, sweeps_on_disk
from pipeline.runtime.durations import clock
from pipeline.storage.layout import (
    ASIDE,
    CLAIM,
    FENCED,
    METRICS,
    SETTINGS,
    TEMPORARY,
    UNFINISHED,
    checkpoints_folder,
    runs_folder,
    sweep_folder,
)
from pipeline.storage.reading import folder_fault, read_bytes, say, whole_object

KINDS = ("unwanted", "old", "checkpoints", "temporary")
YOUNG_SECONDS = 3600.0
DELETING = ".deleting-"
HALF_WRITTEN = (
    f".*{TEMPORARY}", f"*/.*{TEMPORARY}", CLAIM.format(number="*"), f"{UNFINISHED}*", f"{FENCED}*",
    f".*{ASIDE}", f"*/.*{ASIDE}",
)  # fmt: skip
"""What processes leave that ended in the middle of a write, and folders that were in the place of a file."""


@dataclass(frozen=True)
class Garbage:
    """Something that can be deleted."""

    kind: str
    path: Path
    size: int  # bytes
    why: str
    age: float = math.inf  # seconds since its last change, where its owner may still use it


def find(sweeps_dir: Path, now: float) -> Iterator[Garbage]:
    """Everything that can be deleted, each file once.

    Raises:
        UserError: there is no manifest, or one cannot be read, so that the declared runs are not known.
    """
    sweeps = sweeps_on_disk(sweeps_dir)
    if not sweeps:
        raise UserError(f"sweeps_dir={sweeps_dir} holds no sweep: expected the folder that sweeps were written to")
    names, runs = declared(sweeps_dir), runs_folder(sweeps_dir)
    if why := folder_fault(runs):
        raise UserError(f"{why}: make it accessible")
    for folder in sorted(path for path in runs.glob("*") if path.is_dir()):
        try:
            found = list(_of_run_folder(folder, names, now))
        except PermissionError as error:  # nobody knows what is in it: the others are listed
            say(f"{disk_error(error)}: left alone")
            continue
        yield from found
    for folder in (sweep_folder(sweeps_dir, sweep) for sweep in sweeps):
        if now - (lease_of(folder) or {"beat": 0.0})["beat"] > RUNNING_SECONDS:  # else it is being launched
            yield from _temporaries(folder, now)


def _of_run_folder(folder: Path, names: set[str], now: float) -> Iterator[Garbage]:
    with os.scandir(folder):  # raises where it may not be read, which pathlib's searches pass over
        pass
    if folder.name.startswith(DELETING):
        yield Garbage("temporary", folder, size(folder), "its deletion was begun")
    elif not is_in_use(folder, now):
        yield from _of_run(folder, names, TRAINING_VERSION, now)


def declared(sweeps_dir: Path) -> set[str]:
    """Names of the runs that some sweep on disk declares."""
    return {entry["run"] for sweep in sweeps_on_disk(sweeps_dir) for entry in declared_runs(sweeps_dir, sweep)}


def is_in_use(folder: Path, now: float) -> bool:
    """Whether a process works on a run, including one that evaluates a finished run again."""
    return read_without_record(folder, {"run": folder.name}).is_running(now)


def version_of(folder: Path) -> tuple[str, int] | None:
    """Name and number of the version of a run's weights; None where its config.yaml does not state it."""
    path = folder / SETTINGS
    try:
        found = re.search(rb"^(training_version|numerics_version): (\d{1,9})\s*$", read_bytes(path), re.M)
    except FileNotFoundError:
        return None
    except DamagedFile as error:
        say(f"{error}: the launch command writes it again")
        return None
    return (found.group(1).decode(), int(found.group(2))) if found else None


def _of_run(folder: Path, names: set[str], current: int, now: float) -> Iterator[Garbage]:
    version = version_of(folder)
    if version is not None and version != ("training_version", current):
        why = f"{version[0]} {version[1]}; this code has training_version {current}"
        yield Garbage("old", folder, size(folder), why)
    elif folder.name not in names:
        if version is None and not _is_run(folder):
            return  # not one of ours
        yield Garbage("unwanted", folder, size(folder), "no sweep on disk declares it", now - newest(folder))
    else:
        checkpoints = checkpoints_folder(folder)
        if checkpoints.is_dir() and _has_a_record(folder):
            yield Garbage("checkpoints", checkpoints, size(checkpoints), "the run has its record")
        yield from _temporaries(folder, now)


def _is_run(folder: Path) -> bool:
    """Whether a folder without its settings is still a run of ours: by its name, its lease or its record."""
    if re.fullmatch(r".+-[0-9a-f]{12}", folder.name) or lease_of(folder) is not None:
        return True
    return whole_object(folder / METRICS, PARTS) is not None


def _has_a_record(folder: Path) -> bool:
    """Whether it is trained and evaluated, with all files present: otherwise its checkpoints may still be used."""
    record = whole_object(folder / METRICS, PARTS)
    return record is not None and not any(damage.is_rewritten for damage in damages(folder, record))


def _temporaries(folder: Path, now: float) -> Iterator[Garbage]:
    for path in sorted({path for pattern in HALF_WRITTEN for path in folder.glob(pattern)}):
        why = "was in the place of a file" if path.name.endswith(ASIDE) else "left half-written"
        yield Garbage("temporary", path, size(path), why, now - newest(path))


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_symlink() or file.is_file())


def newest(folder: Path) -> float:
    """When something in it last changed; now, where a file vanishes meanwhile."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return math.inf


def delete(garbage: Garbage) -> None:
    """Rename a folder first: if this is killed, what is left no longer looks like a run."""
    if not garbage.path.is_dir() or garbage.path.is_symlink():
        garbage.path.unlink(missing_ok=True)
        return
    target = garbage.path
    if garbage.kind in {"unwanted", "old"}:
        target = garbage.path.rename(garbage.path.with_name(f"{DELETING}{garbage.path.name}"))
    shutil.rmtree(target)


def readable(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def clean(sweeps_dir: Path, only: str | None, deleting: bool, youth: float) -> None:
    """List what can be deleted, and delete it if `deleting`.

    Args:
        only: one of KINDS; None: all.
        youth: things that changed within so many seconds are left alone.
    """
    every = [garbage for garbage in find(sweeps_dir, time.time()) if only in {None, garbage.kind}]
    found = [garbage for garbage in every if garbage.age > youth]
    for garbage in found:
        print(
            f"{garbage.kind:11}  {readable(garbage.size):>9}  {garbage.path.relative_to(sweeps_dir)}  ({garbage.why})"
        )
        if deleting:
            delete(garbage)
    if young := [garbage for garbage in every if garbage.age <= youth]:
        limit = f"changed less than {clock(youth)} ago"
        print(f"{_counted(young)} {limit}: left alone; older_than=SECONDS sets another limit")
    total = readable(sum(garbage.size for garbage in found))
    if not found:
        print("nothing else could go" if young else "nothing could go")
    else:
        print(f"{total} deleted" if deleting else f"{total} could go: the same command with delete=true deletes it")


def _counted(found: Sequence[Garbage]) -> str:
    """45 folders and 1 file"""
    folders = sum(garbage.path.is_dir() for garbage in found)
    counts = ((folders, "folder"), (len(found) - folders, "file"))
    return " and ".join(f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count)
