"""What a finished run consists of: its record, and the files that the record states by size and checksum.

Sizes are cheap to check: every command checks them. Checksums are compared where a file is read, on request
(`status.py verify=true`), and at a launch for files that were written after the record. Needs no torch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import DamagedFile
from pipeline.records.settings_file import settings_fault
from pipeline.storage.files import digest
from pipeline.storage.layout import (
    CONFIG,
    EXECUTION,
    FAILURE,
    HISTORY,
    METRICS,
    SEQUENCES,
    SETTINGS,
    WEIGHTS,
    evaluation_folder,
    shared_folder,
    sweeps_dir_of,
)
from pipeline.storage.reading import (
    DIFFERS,
    checksum,
    folder_fault,
    other_run,
    problem,
    read_arrays,
    read_bytes,
    read_config,
    read_object,
    say,
    whole_object,
)

PARTS = {"settings": dict, "identity": dict, "evaluation": dict, "metrics": dict}
OF_FAILURE = {"error": str, "reason": str}
OF_EXECUTION = {"attempts": list}
LISTED = 20
"""Number of damaged files with one name that a command lists; for more, it says only that there are more."""

Fault = Callable[[Path, str], str]
Depth = Literal["look", "newer", "all"]
"""Which checksums are compared: none, those of files newer than the record, all."""


@dataclass(frozen=True)
class Damage:
    """A file of a finished run that is not what its record states."""

    path: Path
    why: str

    @property
    def is_rewritten(self) -> bool:
        """Whether the launch command writes it again; other files are only reported."""
        return self.path.name not in {HISTORY, EXECUTION}

    def __str__(self) -> str:
        if self.path.name == HISTORY:
            return f"{self.why}: training curves lack it; it is written again only if you delete the run's folder"
        if self.path.name == EXECUTION:
            return f"{self.why}: when, where and how fast it was trained is no longer known"
        verb = "trains" if self.path.name in {WEIGHTS, CONFIG} else "evaluates"
        first = "delete it, and " if self.why == DIFFERS else ""
        return f"{self.why}: {first}the command that launches it {verb} the run again"


def record_folder(folder: Path, evaluation: str) -> Path:
    """Where the record of one evaluation is or will be: the run's folder, unless it has another evaluation's record."""
    later = evaluation_folder(folder, evaluation)
    first = whole_object(folder / METRICS, PARTS)
    if first is None or other_run(first, folder):
        return later if (later / METRICS).is_file() else folder
    return folder if first["evaluation"].get("id") == evaluation else later


def read_record(folder: Path, evaluation: str) -> tuple[dict[str, Any] | None, str]:
    """The record of one evaluation, and what is wrong with a file in its place, which is also printed."""
    if damaged := folder_fault(folder):
        say(f"{damaged}: treated as missing")
        return None, damaged
    for path in (folder / METRICS, evaluation_folder(folder, evaluation) / METRICS):
        try:
            content = read_object(path, PARTS)
        except DamagedFile as error:
            say(f"{error}: treated as missing")
            damaged = "its record is damaged"
            continue
        if content is not None and (why := other_run(content, folder)):
            say(f"{path}: {why}: treated as missing")
            damaged = f"{METRICS}: {why}"
            continue
        if content is not None and content["evaluation"].get("id") == evaluation:
            return content, ""
    return None, damaged


def finished(folder: Path, evaluation: str) -> dict[str, Any] | None:
    """A finished run's record; None where a file is missing or damaged that the launch command writes again."""
    record, _ = read_record(folder, evaluation)
    if record is None:
        return None
    found = list(damages(folder, record, "newer"))
    say_damages(found)
    return None if any(damage.is_rewritten for damage in found) else record


def damages(folder: Path, record: Mapping[str, Any], depth: Depth = "look") -> Iterator[Damage]:
    """The files of a finished run that differ from its record; none for a record that states no files."""
    files: Mapping[str, Mapping[str, Any]] = record.get("files", {})
    written = _time(folder, files) if depth == "newer" else 0
    for path, size, fault, stated in _checks(folder, record) if files else ():
        why = problem(path, size)
        if not why and (depth == "all" or (depth == "newer" and path.stat().st_mtime_ns > written)):
            now = path.stat()
            why = _fault_of(path, fault, stated, now.st_ino, now.st_size, now.st_mtime_ns)
        if why:
            yield Damage(path, why)


def _checks(folder: Path, record: Mapping[str, Any]) -> Iterator[tuple[Path, int | None, Fault, str]]:
    """Each file with its size, where stated; the function that checks its contents; and its stated checksum."""
    for name, stated in record["files"].items():
        yield folder / name, stated["size"], _sum_fault, stated["sha256"]
    for name, size in record["references"].items():
        yield shared_folder(sweeps_dir_of(folder)) / name, size, _tensors_fault, ""
    yield folder / SETTINGS, None, _settings_fault, ""
    yield folder / EXECUTION, None, _execution_fault, ""


def _time(folder: Path, files: Iterable[str]) -> int:
    """When the record was written, in nanoseconds. It is written last, next to its sums."""
    sums = next((folder / name for name in files if name.endswith(SEQUENCES)), folder / SEQUENCES)
    return sums.with_name(METRICS).stat().st_mtime_ns


def _sum_fault(path: Path, stated: str) -> str:
    return "" if checksum(path) == stated else DIFFERS


def _tensors_fault(path: Path, _stated: str) -> str:
    try:
        read_arrays(path)
    except DamagedFile as error:
        return error.why
    return ""


@lru_cache(maxsize=4096)
def _fault_of(path: Path, fault: Fault, stated: str, *_state: int) -> str:
    """An unchanged file is read once, however many runs refer to it."""
    return fault(path, stated)


def read_all_again() -> None:
    """Forget which files were found whole: a disk can lose bits without changing a file's time."""
    _fault_of.cache_clear()


def read_failure(folder: Path) -> dict[str, Any] | None:
    """Why a run failed; None where it did not, or where the file is damaged."""
    return None if folder_fault(folder) else whole_object(folder / FAILURE, OF_FAILURE)


def _settings_fault(path: Path, _stated: str) -> str:
    return settings_fault(path)


def _execution_fault(path: Path, _stated: str) -> str:
    try:
        return other_run(read_object(path, OF_EXECUTION) or {}, path.parent)
    except DamagedFile as error:
        return error.why


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """This run's attempts, from execution.json; empty where it is absent, damaged or another run's."""
    found = whole_object(folder / EXECUTION, OF_EXECUTION) or {"attempts": []}
    return [] if other_run(found, folder) else [each for each in found["attempts"] if isinstance(each, dict)]


def read_history(folder: Path, evaluation: str) -> bytes | None:
    """A finished run's history.csv; None where it is absent, or differs from the record, which is reported."""
    stated = (read_record(folder, evaluation)[0] or {}).get("files", {}).get(HISTORY, {"sha256": None})
    try:
        content = read_bytes(folder / HISTORY)
        why = DIFFERS if stated["sha256"] not in {None, digest(content)} else ""
    except FileNotFoundError:
        return None
    except DamagedFile as error:
        content, why = b"", error.why
    if why:
        say_damages([Damage(folder / HISTORY, why)])
    return None if why else content


def training_damages(folder: Path) -> Iterator[Damage]:
    """The files of a trained run without a record that differ from its cfg.json; every checksum is compared."""
    try:
        config = read_config(folder) or {"metadata": {"files": {}}}
    except DamagedFile as error:
        yield Damage(folder / CONFIG, error.why)
        return
    if why := other_run(config["metadata"], folder):
        yield Damage(folder / CONFIG, why)
    for name, stated in config["metadata"]["files"].items():
        if why := problem(folder / name, stated["size"]) or _sum_fault(folder / name, stated["sha256"]):
            yield Damage(folder / name, why)


def say_damages(found: Iterable[Damage]) -> None:
    """Report damaged files; of many with the same name the first ones."""
    for damage in found:
        name = damage.path.name
        _named.setdefault(name, set()).add(damage.path)
        if len(_named[name]) <= LISTED:
            say(f"{damage.path}: {damage}")
        else:
            say(f"further {name} are damaged: status.py verify=true counts them")


_named: dict[str, set[Path]] = {}
