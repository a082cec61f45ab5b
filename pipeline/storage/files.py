"""Files that are complete or absent: written to a temporary name, flushed to disk, renamed.

A process that holds a lease on a folder (`lease.py`) checks before each change there that it still holds it. It writes
each file in a private folder for unfinished files, and moves what it removes to there. The next holder of the lease
takes that private folder away first. A rename that began before the lease was lost therefore fails: a process that lost
its lease replaces and removes nothing, however long it paused between check and rename. Lines in a log are the
exception: a process that pauses in the middle of a line completes that line.
"""

import csv
import errno
import hashlib
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import LeaseLost, NotWritable
from pipeline.storage import write_access
from pipeline.storage.layout import ASIDE, TEMPORARY
from pipeline.storage.phases import phase

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUM = "sha256"
NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; a folder in its place is moved aside.

    Raises:
        NotWritable: the disk is full, the folder is read-only, or a file is in the place of a folder.
        LeaseLost: another process has taken this folder over; nothing is changed.
    """
    with plain_disk_errors(path.parent):
        unfinished = write_access.check(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = (unfinished or path.parent) / f".{path.name}.{platform.node()}.{os.getpid()}{TEMPORARY}"
        try:
            with _lost_with_its_folder(path, unfinished):
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                write_access.check(path)
                with phase("rename", path):
                    _replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove(path: Path) -> None:
    """Remove a file if there is one; a folder in its place is moved aside. Raises as `write_bytes` does."""
    _remove(path, folder=False)


def remove_folder(path: Path) -> None:
    """Remove a folder with its contents, or a file in its place. Raises as `write_bytes` does."""
    _remove(path, folder=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a log; anything in its place that is not a file is moved aside. Raises as `write_bytes` does."""
    with plain_disk_errors(path.parent):
        write_access.check(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and not path.is_file():
            remove(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _replace(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except IsADirectoryError:
        make_way(path)
        temporary.replace(path)


def make_way(folder: Path) -> None:
    """Move a folder out of the place of a file; its contents are unknown and therefore kept."""
    try:
        folder.rmdir()  # succeeds where it is empty
    except OSError:
        folder.rename(folder.with_name(f".{folder.name}.{time.time_ns()}{ASIDE}"))


def _remove(path: Path, folder: bool) -> None:
    with plain_disk_errors(path.parent):
        unfinished = write_access.check(path)
        if not os.path.lexists(path):
            return
        if path.is_dir() and not path.is_symlink() and not folder:
            make_way(path)
        elif unfinished is None:
            _delete(path)
        else:
            gone = unfinished / f".{path.name}.gone"
            with suppress(FileNotFoundError), _lost_with_its_folder(path, unfinished):  # another process removed it
                path.rename(gone)
                _delete(gone)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _lost_with_its_folder(path: Path, unfinished: Path | None) -> Iterator[None]:
    """Raise LeaseLost where the folder for unfinished files is gone: another process is taking the lease."""
    try:
        yield
    except FileNotFoundError:
        if unfinished is None or unfinished.is_dir():
            raise
        write_access.check(path)
        raise LeaseLost(f"{unfinished} is gone: this process leaves its folder alone") from None


@contextmanager
def plain_disk_errors(folder: Path) -> Iterator[None]:
    """Report a full disk, a read-only folder, or a file in the place of a folder in one line."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        blocking = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), folder)
        raise NotWritable(f"{blocking} is not a folder: move it away and give the same command again") from error
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        hint = "make room" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "make it writable"
        raise NotWritable(
            f"{folder} cannot be written ({os.strerror(error.errno)}): {hint} and give the same command again"
        ) from error


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def json_bytes(content: Any) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, json_bytes(content))


def write_checksummed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, which `pipeline.storage.reading` verifies."""
    write_json(path, with_checksum(content))


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """The object as JSON returns it, with its checksum."""
    as_read: dict[str, Any] = json.loads(json.dumps(content))
    return as_read | {CHECKSUM: _object_checksum(as_read)}


def checksum_ok(content: Mapping[str, Any]) -> bool:
    """Whether an object read from JSON is what was written; true for one without a checksum."""
    if CHECKSUM not in content:
        return True
    try:
        return bool(
            content[CHECKSUM] == _object_checksum({key: value for key, value in content.items() if key != CHECKSUM})
        )
    except RecursionError:  # no file of ours is nested so deeply
        return False


def _object_checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest(content: bytes) -> str:
    """The checksum of a file that cannot hold its own; another file states it."""
    return hashlib.sha256(content).hexdigest()


def file_state(content: bytes) -> dict[str, Any]:
    """What a record states of a file: its size and checksum."""
    return {"size": len(content), "sha256": digest(content)}


def short_hash(content: Any) -> str:
    """Twelve hexadecimal digits that name a JSON value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def safetensors_bytes(tensors: Mapping[str, "Tensor"]) -> bytes:
    """A file of tensors with their checksum, which `pipeline.storage.reading` verifies."""
    from safetensors.torch import save  # imports torch, which aggregation does without

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content: bytes = save(contiguous, {CHECKSUM: tensors_checksum(contiguous, tensor_bytes)})
    return content


def write_safetensors(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    write_bytes(path, safetensors_bytes(tensors))


def tensors_checksum(tensors: Mapping[str, Any], to_bytes: Callable[[Any], memoryview]) -> str:
    """Over names, types, shapes and values; the same for torch's tensors and numpy's arrays."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} torch.{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}".encode())
        found.update(to_bytes(tensor))
    return found.hexdigest()


def tensor_bytes(tensor: "Tensor") -> memoryview:
    import torch

    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data


def csv_text(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
