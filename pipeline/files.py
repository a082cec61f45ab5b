"""Files that are complete or absent: written to a temporary name, flushed to disk, renamed.

A process that holds a lease on a folder (`pipeline.lease`) is asked before each rename there whether it still does.
"""

import csv
import errno
import hashlib
import io
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DamagedFile, NotWritable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

GUARDS: dict[Path, Callable[[], int]] = {}
"""By folder: raises LeaseLost when this process may no longer write below it, else returns its attempt."""

SEAL = "sha256"
NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none.

    Raises:
        NotWritable: the disk is full or the folder is read-only.
        LeaseLost: another process has taken this folder over; what is there stays as it is.
    """
    temporary = path.with_name(f".{path.name}.{_ask_guard(path)}.{platform.node()}.{os.getpid()}.tmp")
    with plain_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _ask_guard(path)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _ask_guard(path: Path) -> int:
    guard = next((GUARDS[folder] for folder in path.parents if folder in GUARDS), None)
    return guard() if guard else 0


@contextmanager
def plain_disk_errors(folder: Path) -> Iterator[None]:
    """A full disk or a read-only folder as one line for people."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        hint = "make room" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "make it writable"
        raise NotWritable(
            f"{folder} cannot be written ({os.strerror(error.errno)}): {hint} and give the same command again; "
            "every run goes on from its last checkpoint"
        ) from error


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON object with its checksum, which readers look at through `is_whole`."""
    as_read = json.loads(json.dumps(content))
    write_json(path, as_read | {SEAL: _seal(as_read)})


def is_whole(content: Any) -> bool:
    """Whether what was read from JSON is what was written; an object without a checksum is believed."""
    if not isinstance(content, dict) or SEAL not in content:
        return True
    return bool(content[SEAL] == _seal({key: value for key, value in content.items() if key != SEAL}))


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest(content: bytes) -> str:
    """The checksum of a file that has no place for its own, for the file that vouches for it."""
    return hashlib.sha256(content).hexdigest()


def is_as_stated(path: Path, stated: str | None) -> bool:
    """Whether a file is the one that a digest was stated of; where none was, it is believed."""
    return stated is None or (path.is_file() and digest(path.read_bytes()) == stated)


def write_safetensors(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    """Tensors with their checksum, which `read_safetensors` and `read_arrays` look at."""
    from safetensors.torch import save  # imports torch, which aggregation does without

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, {SEAL: _checksum(contiguous, _tensor_bytes)}))


def read_safetensors(path: Path) -> dict[str, "Tensor"]:
    """Tensors as they were written.

    Raises:
        DamagedFile: the file is cut short, or its checksum differs; one without, which is not ours, is believed.
    """
    return _read_whole(path, "pt", _tensor_bytes)


def read_arrays(path: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    """The same for aggregation, as arrays and without torch."""
    return _read_whole(path, "np", lambda array: array.reshape(-1).view("uint8").data)


def _read_whole(path: Path, framework: str, to_bytes: Callable[[Any], memoryview]) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stated = (file.metadata() or {}).get(SEAL)
    except SafetensorError as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error
    if stated is not None and stated != _checksum(found, to_bytes):
        raise DamagedFile(f"{path} is damaged: its checksum differs")
    return found


def _checksum(tensors: Mapping[str, Any], to_bytes: Callable[[Any], memoryview]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} torch.{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}".encode())
        digest.update(to_bytes(tensor))
    return digest.hexdigest()


def _tensor_bytes(tensor: "Tensor") -> memoryview:
    import torch

    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data


def csv_text(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
