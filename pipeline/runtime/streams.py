"""Standard output and error as the commands use them: no work ends because of what becomes of them.

When the reader of a pipe has gone, the disk is full, the terminal was closed or the descriptor never was open, what is
printed goes nowhere from then on. A character that the encoding lacks is written as an escape (\\u03b3), and bytes of a
file's name that are no characters are written as they are.
"""

import codecs
import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any

OUTPUT, ERROR = 1, 2
_lost: dict[int, OSError] = {}


def prepare(when_lost: Callable[[OSError], None] | None = None) -> None:
    """Replace sys.stdout and sys.stderr, unless something else (a test) has done so.

    Args:
        when_lost: called once, when standard output cannot be written any more.
    """
    _open_all()
    for number, name in ((OUTPUT, "stdout"), (ERROR, "stderr")):
        stream = getattr(sys, name)  # None where the descriptor was closed
        if stream is None or _number(stream) == number:
            setattr(sys, name, _text(number, stream, when_lost if number == OUTPUT else None))


def lost() -> OSError | None:
    """Why standard output cannot be written, if so."""
    sys.stdout.flush()
    return _lost.get(OUTPUT)


class _Descriptor(io.FileIO):
    """The descriptor of a standard stream; it becomes the null device when it cannot be written."""

    when_lost: Callable[[OSError], None] | None = None

    def write(self, data: Any) -> int:
        try:
            while (count := super().write(data)) is None:  # a full pipe that does not block
                select.select([], [self], [])
            return count
        except OSError as error:
            _lost[self.fileno()] = error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if self.when_lost:
                self.when_lost(error)
            return memoryview(data).nbytes


def _open_all() -> None:
    """Give 0, 1 and 2 to the null device where they are closed: else the next file to be opened gets the number."""
    number = os.open(os.devnull, os.O_RDWR)
    while number <= ERROR:
        os.set_inheritable(number, True)
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def _number(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def _text(number: int, old: Any, when_lost: Callable[[OSError], None] | None) -> io.TextIOWrapper:
    raw = _Descriptor(number, "w", closefd=False)
    raw.when_lost = when_lost
    by_lines, encoding = raw.isatty() or number == ERROR, "utf-8"
    if old is not None:
        by_lines, encoding = by_lines or old.line_buffering or old.write_through, old.encoding
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "as_is", line_buffering=by_lines)


def _as_is(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return b"".join(map(_bytes, characters)), error.end


def _bytes(character: str) -> bytes:
    """A byte that was no character when it was read, or an escape."""
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00])
    return character.encode("ascii", "backslashreplace")


codecs.register_error("as_is", _as_is)
