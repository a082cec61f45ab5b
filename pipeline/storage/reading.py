"""The one reader of files: each is whole, absent or damaged, and errors say so in the same words.

Anything else in a file's place (a folder, a pipe, a dangling link, foreign bytes) counts as damage; it neither stops a
reader nor makes it wait. Needs no torch.
"""

import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DamagedFile
from pipeline.storage.files import CHECKSUM, checksum_ok, tensors_checksum
from pipeline.storage.layout import CONFIG

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Parts = Mapping[str, type | tuple[type, ...]]
"""Types that a JSON object must have, by key."""

DENIED = os.strerror(errno.EACCES)
GONE, DIFFERS = "it is gone", "its checksum differs"
_said: set[str] = set()


def say(line: str) -> None:
    """Print a line on stderr, once per process."""
    if line not in _said:
        _said.add(line)
        print(line, file=sys.stderr)


def problem(path: Path, size: int | None = None) -> str:
    """What is wrong with a file, without reading it; empty where nothing is.

    Args:
        size: expected bytes; None where unknown.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return "it is a link to nothing" if path.is_symlink() else GONE
    except OSError as error:
        return _in_words(error)
    if not stat.S_ISREG(found.st_mode):
        return _kind(found.st_mode)
    return "" if size in {None, found.st_size} else f"it has {found.st_size:,} bytes instead of {size:,}"


def folder_fault(folder: Path) -> str:
    """What is wrong with a run's folder, or the folder of all runs; empty where it can be read or is absent."""
    for path in (folder.parent, folder):
        if os.path.lexists(path) and not path.is_dir():
            return f"{path} is {'not a folder' if path.exists() else 'a link to nothing, not a folder'}"
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            return f"{path} cannot be read ({DENIED})"
    return ""


def other_run(content: Mapping[str, Any], folder: Path) -> str:
    """Says that a file in a run's folder states another run's name; empty where it states this run's name or none."""
    stated = content.get("run", folder.name)
    return "" if stated == folder.name else f"it belongs to another run ({stated})"


def open_file(path: Path) -> BufferedReader:
    """A regular file, opened for reading; a pipe is not waited for.

    Raises:
        FileNotFoundError: nothing has that name.
        DamagedFile: it is not a regular file, or the system cannot open it.
    """
    try:
        file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")  # noqa: PTH123, SIM115  by its descriptor
    except FileNotFoundError:
        if path.is_symlink():
            raise DamagedFile(path, "it is a link to nothing") from None
        raise
    except OSError as error:
        # os.path answers also where the folder cannot be entered
        raise DamagedFile(path, "it is a folder" if os.path.isdir(path) else _in_words(error)) from None  # noqa: PTH112
    if not stat.S_ISREG(mode := os.fstat(file.fileno()).st_mode):
        file.close()
        raise DamagedFile(path, _kind(mode))
    return file


def _kind(mode: int) -> str:
    return "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"


def _in_words(error: OSError) -> str:
    if isinstance(error, NotADirectoryError):
        return "a file is in the place of its folder"
    return os.strerror(error.errno or 0)


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises as `open_file` does."""
    try:
        with open_file(path) as file:
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFile(path, _in_words(error)) from None


def checksum(path: Path) -> str:
    """Checksum of a file's bytes, as `pipeline.storage.files.digest` computes it. Raises as `open_file` does."""
    with open_file(path) as file:
        return file_digest(file, "sha256").hexdigest()


# ------------------------------------------------------------------------------------------------------------ objects


def read_object(path: Path, parts: Parts | None = None) -> dict[str, Any] | None:
    """Read a JSON object that has these parts and a correct checksum; None where there is no file.

    Raises:
        DamagedFile: it is something else.
    """
    try:
        content = json.loads(read_bytes(path))
        why = _fault(content, parts or {})
    except FileNotFoundError:
        return None
    except ValueError as error:  # not text, or not JSON
        raise DamagedFile(path, f"it is not JSON: {error}") from None
    except RecursionError:
        raise DamagedFile(path, "it is nested too deeply") from None
    if why:
        raise DamagedFile(path, why)
    found: dict[str, Any] = content
    return found


def _fault(content: Any, parts: Parts) -> str:
    if not isinstance(content, dict):
        return "it is not a JSON object"
    missing = [key for key, kind in parts.items() if not isinstance(content.get(key), kind)]
    if missing:
        return f"it has no {missing[0]}"
    return "" if checksum_ok(content) else DIFFERS


def whole_object(path: Path, parts: Parts | None = None) -> dict[str, Any] | None:
    """As `read_object`, but a damaged file is reported and treated as missing."""
    try:
        return read_object(path, parts)
    except DamagedFile as error:
        say(f"{error}: treated as missing")
        return None


# ------------------------------------------------------------------------------------------------------------ tensors


def read_safetensors(path: Path, stated: str | None = None) -> dict[str, "Tensor"]:
    """Read tensors as they were written.

    Args:
        stated: checksum of the file, from another file; without it the file's own is verified.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is not what was written. A file without any checksum is not ours, and is not checked.
    """
    from pipeline.storage.files import tensor_bytes

    return _read_tensors(path, "pt", tensor_bytes, stated)


def read_arrays(path: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    """The same as arrays, without torch."""
    return _read_tensors(path, "np", lambda array: array.reshape(-1).view("uint8").data)


def _read_tensors(
    path: Path, framework: str, to_bytes: Callable[[Any], memoryview], stated: str | None = None
) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    open_file(path).close()  # safe_open would wait for a pipe
    if stated is not None and checksum(path) != stated:
        raise DamagedFile(path, DIFFERS)
    try:
        with safe_open(path, framework=framework) as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            own = (file.metadata() or {}).get(CHECKSUM)
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFile(path, " ".join(str(error).split())) from None
    if stated is None and own is not None and own != tensors_checksum(found, to_bytes):
        raise DamagedFile(path, DIFFERS)
    return found


def read_config(folder: Path) -> dict[str, Any] | None:
    """Read a run's cfg.json; None where there is none.

    Raises:
        DamagedFile: it is not what was written.
    """
    config = read_object(folder / CONFIG, {"d_in": int, "d_sae": int, "metadata": dict})
    if config is not None:
        stated = config["metadata"].pop(CHECKSUM, None)
        if not checksum_ok(config | {CHECKSUM: stated}):
            raise DamagedFile(folder / CONFIG, DIFFERS)
    return config
