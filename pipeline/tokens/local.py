"""Documents of `data.source=files` and `python`, in a fixed order, each with its place: training or held-out text."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.schema import DataConfig
from pipeline.errors import UserError
from pipeline.tokens.files import TABLES, TextFile, local_files
from pipeline.tokens.plain import plain_documents
from pipeline.tokens.python_source import python_documents
from pipeline.tokens.tables import Content, content, table_rows


@dataclass
class Counts:
    """Counts of what was read and skipped."""

    documents: int = 0
    copies: int = 0  # documents that are equal to an earlier one
    rows_without_text: int = 0
    blank_documents: int = 0
    unsplit: bool = False  # whether data.split_documents is given and no file holds what it splits at

    def notes(self, name: str) -> list[str]:
        """A line for each thing that a person should know."""
        found = {
            "rows without a value, skipped": self.rows_without_text,
            "blank documents, skipped": self.blank_documents,
            "documents equal to another, kept on its side": self.copies,
        }
        lines = [f"data={name}: {what}: {count:,}" for what, count in found.items() if count]
        if self.unsplit:
            lines.append(f"data={name}: data.split_documents splits nothing: no plain file holds what it splits at")
        return lines


@dataclass(frozen=True)
class LocalDocument:
    """A document of a local file, and its place."""

    content: Content
    place: float  # from 0 to 1: held out where it is below data.evaluation_fraction


def local_documents(data: DataConfig, counts: Counts | None = None) -> Iterator[LocalDocument]:
    """Every document that is not blank. `counts` is updated on the way.

    Raises:
        UserError: a file cannot be read as data.* says; the message names both.
    """
    counts = counts or Counts()
    seen: set[float] = set()
    for document in _grouped(data, counts) if data.document_column else _single(data, counts):
        counts.documents += 1
        own = place(document.content) if data.document_column else document.place
        counts.copies += own in seen
        seen.add(own)
        yield document


def place(document: Content) -> float:
    """From 0 to 1, from the content alone, so that copies of a text stay on one side."""
    written = document if isinstance(document, str) else repr(document)
    hashed = hashlib.sha256(written.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(hashed[:8], "big") / 2**64


def _single(data: DataConfig, counts: Counts) -> Iterator[LocalDocument]:
    for _, document in _of_python(data, counts) if data.source == "python" else _pieces(data, counts):
        yield LocalDocument(document, place(document))


def _grouped(data: DataConfig, counts: Counts) -> Iterator[LocalDocument]:
    """Rows with the same value in data.document_column, wherever they stand; the value decides the side."""
    groups: dict[Any, list[Content]] = {}
    for number, (group, piece) in enumerate(_pieces(data, counts)):
        groups.setdefault(("row", number) if group is None else str(group), []).append(piece)
    for group in list(groups):
        joined = _joined(groups.pop(group))
        yield LocalDocument(joined, place(group if isinstance(group, str) else joined))


def _joined(pieces: list[Content]) -> Content:
    """Rows of one document: lines of text, or token ids one after another."""
    if of_ids := [piece for piece in pieces if isinstance(piece, list)]:
        return [token for ids in of_ids for token in ids]
    return "\n".join(map(str, pieces))


def _pieces(data: DataConfig, counts: Counts) -> Iterator[tuple[Any, Content]]:
    """Plain documents and rows, each with its value in data.document_column."""
    column, pieces = data.token_column or data.text_column, 0
    files = local_files(data)
    _check_columns_are_of_use(data, files)
    for file in files:
        if file.is_plain:
            found: Iterator[tuple[Any, Content | None]] = ((None, text) for text in plain_documents(file, data))
        else:
            found = (
                (row.get(str(data.document_column)), content(row[column], data, str(file.path)))
                if row
                else (None, None)
                for row in table_rows(file, data)
            )
        for group, document in found:
            pieces += file.is_plain
            if document is None:
                counts.rows_without_text += 1
            elif is_blank(document):
                counts.blank_documents += 1
            else:
                yield group, document
    counts.unsplit = data.split_documents != "none" and pieces == sum(file.is_plain for file in files)


def _of_python(data: DataConfig, counts: Counts) -> Iterator[tuple[None, Content]]:
    for document in python_documents(data):
        if is_blank(document):
            counts.blank_documents += 1
        else:
            yield None, document


def _check_columns_are_of_use(data: DataConfig, files: Sequence[TextFile]) -> None:
    if not all(file.is_plain for file in files):
        return
    for key in ("text_column", "token_column", "document_column"):
        value = getattr(data, key)
        if value != getattr(DataConfig(), key):
            raise UserError(
                f"data.{key}={value} names a column, but data.path={data.path} holds only plain text, which has none: "
                f"leave it out, or give tables ({', '.join(TABLES)})"
            )


def is_blank(document: Content) -> bool:
    return not document or (isinstance(document, str) and document.isspace())
