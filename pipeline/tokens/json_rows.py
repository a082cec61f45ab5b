"""Rows of JSON: one object per line, objects one after another, or one list of objects.

Arrow's reader ends the process at a row that is null, and takes text that looks like a date for one.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.errors import UserError
from pipeline.tokens.files import TextFile
from pipeline.tokens.plain import CHUNK, codec, opened

_BLANK = re.compile("[ \t\r\n\ufeff]*")  # joined files may hold a byte-order mark in the middle
_CUT = 16
"""An error so close to the end of what was read may be that of a word or number that goes on."""
_SHOWN = 40


def json_rows(file: TextFile, encoding: str, columns: Sequence[str]) -> Iterator[dict[str, Any] | None]:
    """Each row with at least these columns, None where it lacks them; None for a row that is null.

    Raises:
        UserError: a row is no object, or no row has one of the columns; the message names file and line.
        UnicodeError: the file is not in this encoding.
    """
    missing, found = set(columns), dict[str, None]()
    with opened(file) as binary, io.TextIOWrapper(binary, encoding=codec(encoding)) as stream:
        values = _Values(file, stream)
        for row in values:
            if row is None:
                yield None
                continue
            if not isinstance(row, dict):
                raise values.error(f"expected an object, as {{{json.dumps(columns[0])}: ...}}, found {_shown(row)}")
            missing.difference_update(row)
            found |= dict.fromkeys(row)
            cells = {column: row.get(column) for column in columns}
            if any(isinstance(cell, str) and not _is_unicode(cell) for cell in cells.values()):
                raise values.error("it holds half a character (an unpaired surrogate, as \\ud83d)")
            yield cells
    if found and missing:
        raise lacks_column(file, min(missing, key=list(columns).index), list(found))


def lacks_column(file: TextFile, column: str, found: Sequence[str]) -> UserError:
    """The error for a missing column; it lists the columns that the file has."""
    return UserError(
        f"{file.path} has no column {column}: it has {', '.join(found)}; data.text_column, "
        "data.token_column and data.document_column name columns, a glob as data.path chooses files"
    )


class _Values:
    """The JSON values of a stream; only one value and one piece of the file are in memory at a time."""

    def __init__(self, file: TextFile, stream: io.TextIOWrapper) -> None:
        self.file, self.stream = file, stream
        self.text, self.at, self.lines = "", 0, 1  # what was read, up to where it is used, and the line it begins in
        self.begin = 0  # of the latest value
        self.decode = json.JSONDecoder().raw_decode

    def __iter__(self) -> Iterator[Any]:
        listed = self._next() == "["
        self.at += listed
        while (sign := self._next()) and not (listed and sign == "]"):
            yield self._value()
            if listed and self._next() == ",":
                self.at += 1
                if self._next() != "]":
                    continue
            if listed and self._next() != "]":
                raise self.error("expected , or ] after a row of the list", self.at)
        self.at += listed
        if listed and (not sign or self._next()):
            raise self.error("the list has no end" if not sign else "there is more after the list", self.at)

    def error(self, what: str, at: int | None = None) -> UserError:
        """Args: at: where in the text; None: where the latest value begins."""
        line = self.lines + self.text.count("\n", 0, self.begin if at is None else at)
        return UserError(f"{self.file.path}, line {line}: {what}")

    def _next(self) -> str:
        """The first character that is not blank; empty at the end."""
        while True:
            self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read the next piece, and drop what has been used."""
        self.lines += self.text.count("\n", 0, self.at)
        rest = self.text[self.at :]
        chunk = self.stream.read(max(CHUNK, len(rest)))
        self.text, self.at = rest + chunk, 0
        return bool(chunk)

    def _value(self) -> Any:
        while True:
            self.begin = self.at
            try:
                value, self.at = self.decode(self.text, self.at)
            except json.JSONDecodeError as error:
                goes_on = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - _CUT
                within = error.pos - self.at
                if goes_on and self._more():
                    continue
                said = error.msg.removesuffix(" at").removesuffix(" starting")
                raise self.error(f"it is no JSON: {said}", self.at + within) from error
            except (RecursionError, ValueError) as error:  # more digits than Python reads
                raise self.error("it is nested too deeply, or holds a number that cannot be read") from error
            return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    written = json.dumps(value)
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}..."
