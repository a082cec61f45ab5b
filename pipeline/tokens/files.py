"""The files that `data.path` names, and a digest of their contents."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from pipeline.config.schema import DataConfig
from pipeline.errors import UserError

PLAIN = (".txt", ".md", ".text")
TABLES = {
    ".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".arrow": "arrow",
}  # fmt: skip
"""Endings of tables, with the name of the builder in the datasets library that reads them."""
BINARY = (".parquet", ".arrow")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
ENDINGS = f"{', '.join((*PLAIN, *TABLES))}, also with {', '.join(COMPRESSED)}"


@dataclass(frozen=True, order=True)
class TextFile:
    """A file of plain text, or a table with one document per row."""

    path: Path
    kind: str  # its ending in lower case: one of PLAIN or TABLES
    compression: str  # one of COMPRESSED, or empty

    @property
    def is_plain(self) -> bool:
        return self.kind in PLAIN


def local_files(data: DataConfig) -> list[TextFile]:
    """The files that data.path names (a file, a folder or a glob), in the order of their paths.

    Raises:
        UserError: there is no such file, or none that can be read as text.
    """
    given = (data.path or "").strip()
    if not given:
        raise UserError("data.path is empty (an unset shell variable?): expected a file, a folder or a glob")
    try:
        found = _found(Path(given).expanduser())
    except (OSError, ValueError, RuntimeError) as error:  # also a `~` of nobody
        raise UserError(f"data.path={given} cannot be read: {error}") from error
    files = sorted(file for path in found if (file := text_file(path)))
    if not files:
        raise UserError(f"data.path={given} holds no text: expected files that end in {ENDINGS}")
    return files


def text_file(path: Path) -> TextFile | None:
    """How to read a file, from its name; None: it is no text. Spark's `part-` files may have their folder's ending."""
    name = path.name.lower()
    compression = next((ending for ending in COMPRESSED if name.endswith(ending)), "")
    stem = PurePath(name.removesuffix(compression))
    kind = stem.suffix
    if stem.name.startswith("part-") and kind not in {*PLAIN, *TABLES}:
        kind = path.parent.suffix.lower()
    if kind not in {*PLAIN, *TABLES} or (compression and kind in BINARY):
        return None
    return TextFile(path, kind, compression)


def _found(path: Path) -> set[Path]:
    if path.is_file():
        return {path}
    fixed, pattern = _fixed_and_pattern(path)
    if path.is_dir():
        fixed, matches = path, [path]
    elif pattern:
        matches = list(fixed.glob(pattern))
    else:
        raise UserError(f"data.path={path} does not exist: expected a file, a folder or a glob")
    inside = (file for match in matches for file in (match.rglob("*") if match.is_dir() else [match]))
    return {file for file in inside if _is_meant(file.relative_to(fixed).parts) and file.is_file()}


def _fixed_and_pattern(path: Path) -> tuple[Path, str]:
    """The folders before the first part with a wildcard, and the rest."""
    parts = path.parts
    first = next((i for i, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
    return Path(*parts[:first]), "/".join(parts[first:])


def _is_meant(parts: tuple[str, ...]) -> bool:
    """Whether to read a file: not hidden ones (macOS writes `._name` next to each), nor `_delta_log` and the like."""
    return not any(part.startswith(".") for part in parts) and not any(part.startswith("_") for part in parts[:-1])


def digest(files: Iterable[TextFile]) -> str:
    """A hash of the files' contents and of how they are read; their names do not matter."""
    total = hashlib.sha256()
    for file in files:
        try:
            with file.path.open("rb") as stream:
                contents = hashlib.file_digest(stream, "sha256").digest()
        except OSError as error:
            raise UserError(f"{file.path} cannot be read: {error.strerror}") from error
        total.update(contents)
        if file.kind not in {*PLAIN, ".parquet"} or file.compression:  # those two cannot be taken for one another
            total.update(
                f"{TABLES.get(file.kind, 'plain')}{'tab' if file.kind == '.tsv' else ''}{file.compression}".encode()
            )
    return total.hexdigest()[:16]
