"""A table as people save it, as rows of text: any usual encoding and separator, quoted line breaks, blank lines."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "|"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""
NOT_TEXT = {
    b"PK\x03\x04": "an Excel workbook or another zip archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file", b"\x89PNG": "a picture", b"%PDF": "a PDF", b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive", b"SQLite format 3": "a database",
}  # fmt: skip
CONTROL = re.compile("[\x00-\x08\x0e-\x19\x1b-\x1f]")
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
HEADER_WITHIN = 10
"""Rows among which the header is looked for."""
EXPECTED = "expected a CSV with a header and one row per trained SAE"


@dataclass(frozen=True)
class Sheet:
    """Cells without surrounding space, their index the line of the file; columns are the header's words, any twice."""

    cells: pd.DataFrame
    separator: str
    encoding: str  # empty for UTF-8

    @property
    def header(self) -> list[str]:
        return [str(name) for name in self.cells.columns]


def read_sheet(path: Path, known: Callable[[str], bool]) -> Sheet:
    """Read a table; columns and rows without any content are left out.

    Args:
        known: whether a word of the header names a column that matters; it decides which separator is meant.

    Raises:
        UserError: the file is absent, not a file, empty, not text or not a table; one line says which.
    """
    text, encoding = _decoded(_content(path), path)
    first, _, rest = text.partition("\n")
    stated = re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE)  # Excel's own first line
    separator = stated[1] if stated else _separator(text, known)
    rows = _rows(rest if stated else text, separator, path)
    table = _below_header(rows, 1 if stated else 0, separator, known, path)
    return Sheet(table, separator, encoding)


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"source={path} is a folder: {EXPECTED}")
    if path.exists() and not path.is_file():
        raise UserError(f"source={path} is not a regular file: {EXPECTED}")
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise UserError(f"source={path} is not there: {EXPECTED}") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"source={path} cannot be read ({str(error).splitlines()[0]}): {EXPECTED}") from error
    if not content.strip(b"\x00 \t\r\n\x1a"):
        raise UserError(f"source={path} is empty: {EXPECTED}")
    for start, what in NOT_TEXT.items():
        if content.startswith(start):
            raise UserError(f"source={path} is {what}: save the table as CSV and give that file")
    return content


def _decoded(content: bytes, path: Path) -> tuple[str, str]:
    """The text with plain line breaks, and the encoding that was guessed."""
    encodings = [name for mark, name in MARKS if content.startswith(mark)][:1] or _guesses(content)
    for encoding in encodings:
        try:
            text = content.decode(encoding).rstrip("\x1a")
        except UnicodeDecodeError:
            continue
        if not CONTROL.search(text):
            guessed = "" if encoding in {"utf-8", "utf-8-sig"} else encoding
            return text.replace("\r\n", "\n").replace("\r", "\n"), guessed
    raise UserError(f"source={path} is not text (tried {', '.join(encodings)}): save the table as CSV in UTF-8")


def _guesses(content: bytes) -> list[str]:
    """Encodings to try without a byte order mark: of UTF-16, Latin letters leave every other byte zero."""
    zeros = [content[start:4096:2].count(0) for start in (0, 1)]
    if max(zeros) > 0.4 * len(content[:4096]) / 2 and min(zeros) == 0:
        return ["utf-16-le" if zeros[1] else "utf-16-be"]
    return ["utf-8", "cp1252", "latin-1"]


def _separator(text: str, known: Callable[[str], bool]) -> str:
    """The one under which some line of the beginning has most known names, or else the most frequent one."""
    lines = [line for line in text.split("\n") if line.strip()][:HEADER_WITHIN]
    return max(SEPARATORS, key=lambda one: max((sum(map(known, line.split(one))), line.count(one)) for line in lines))


def _rows(text: str, separator: str, path: Path) -> list[tuple[int, list[str]]]:
    """Rows with content, each with the number of its first line."""
    try:
        return _parsed(text, separator, strict=True)
    except csv.Error as error:
        if "expected after" not in str(error):  # else: spaces after a closing quote
            raise UserError(f"source={path} is not a CSV ({error})") from error
    return _parsed(text, separator, strict=False)


def _parsed(text: str, separator: str, strict: bool) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, strict=strict)
    rows, before = [], 0
    for found in reader:
        line, before = before + 1, reader.line_num
        cells = [" ".join(INVISIBLE.sub("", cell).split()) for cell in found]
        if any(cells) and not all(re.fullmatch(":?-{3,}:?", cell) for cell in cells if cell):
            rows.append((line, cells))  # no blank line, nor the rule below a Markdown header
    return rows


def _below_header(
    rows: list[tuple[int, list[str]]], skipped: int, separator: str, known: Callable[[str], bool], path: Path
) -> pd.DataFrame:
    """Cells under the names of the row with most known ones: the first, unless there is a title above it."""
    if not rows:
        raise UserError(f"source={path} has no header: {EXPECTED}")
    counts = [sum(map(known, cells)) for _, cells in rows[:HEADER_WITHIN]]
    place = counts.index(max(counts))
    header = rows[place][1]
    below = [row for row in rows[place + 1 :] if row[1] != header]  # as where files were joined
    if not below:
        raise UserError(f"source={path} has a header and no rows: {EXPECTED}")
    lines = [line + skipped for line, _ in below]
    cells = [
        _of_width(found, len(header), line, separator, path) for line, (_, found) in zip(lines, below, strict=True)
    ]
    return pd.DataFrame(cells, index=lines, columns=header, dtype=object).loc[:, [bool(name) for name in header]]


def _of_width(cells: list[str], width: int, line: int, separator: str, path: Path) -> list[str]:
    """The cells of a row, as many as the header has; missing ones at its end are blank."""
    if any(cells[width:]):
        hint = "; decimal commas need another separator, such as semicolons" if separator == "," else ""
        raise UserError(f"source={path}, line {line}: {len(cells)} cells below {width} columns{hint}")
    return [*cells[:width], *[""] * (width - len(cells))]
