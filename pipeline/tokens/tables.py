"""Rows of JSON files, and of CSV, Parquet and Arrow files, which the datasets library reads."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.schema import DataConfig
from pipeline.errors import UserError
from pipeline.tokens.files import BINARY, TABLES, TextFile
from pipeline.tokens.json_rows import json_rows, lacks_column
from pipeline.tokens.plain import codec, opened, wrong_encoding

Content = str | list[int]
"""A document: text, or token ids."""


def table_rows(file: TextFile, data: DataConfig) -> Iterator[dict[str, Any] | None]:
    """Rows of one file, with at least the columns that are asked for; None for a row that is null.

    Raises:
        UserError: the file is damaged, has another encoding or lacks a column; the message names it.
    """
    try:
        if file.kind not in BINARY and _is_blank(file):
            return
        columns = columns_to_read(data)
        if TABLES[file.kind] == "json":
            yield from json_rows(file, data.encoding, columns)
            return
        for number, row in enumerate(_loaded(file, data.encoding, columns)):
            if number == 0:
                _check_columns(file, columns, list(row))
            yield row
    except UserError:
        raise
    except UnicodeError as error:
        raise wrong_encoding(file, data.encoding) from error
    except Exception as error:  # each reader behind the library has errors of its own
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"{file.path} cannot be read as {TABLES[file.kind]}: {said}") from error


def columns_to_read(data: DataConfig) -> list[str]:
    """The columns to read: the documents, and the one that groups rows, if there is one."""
    return [data.token_column or data.text_column, *([data.document_column] if data.document_column else [])]


def content(value: Any, data: DataConfig, where: str) -> Content | None:
    """The document in a cell; None if the cell is empty.

    Raises:
        UserError: the cell holds something else.
    """
    if value is None:
        return None
    ids = isinstance(value, list) and all(isinstance(token, int) and not isinstance(token, bool) for token in value)
    if ids if data.token_column else isinstance(value, str):
        found: Content = value
        return found
    if data.token_column:
        raise UserError(
            f"{where}: data.token_column={data.token_column} holds {_kind(value)}, expected lists of token ids"
        )
    hint = "; data.token_column uses lists of token ids as tokens" if ids else ""
    raise UserError(f"{where}: data.text_column={data.text_column} holds {_kind(value)}, expected text{hint}")


def _kind(value: Any) -> str:
    """What a cell holds, in words."""
    if isinstance(value, list):
        return f"lists of {_kind(value[0])}" if value else "empty lists"
    names = {
        bool: "true and false",
        int: "whole numbers",
        float: "numbers",
        bytes: "bytes",
        dict: "structs",
        str: "text",
    }
    return names.get(type(value), f"values of type {type(value).__name__}")


def _loaded(file: TextFile, encoding: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Stream the rows. Only empty lock files are written, to a folder that is removed.

    The library reads a link with a plain name: in the file's own name it would read `[`, `*` and `::` as patterns.
    """
    import datasets

    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it prints what it raises, too
    options: dict[str, Any] = {} if file.kind in BINARY else {"encoding": codec(encoding)}
    if TABLES[file.kind] == "csv":
        options |= {"sep": "\t" if file.kind == ".tsv" else ",", "keep_default_na": False}
    if file.kind == ".parquet":
        import pyarrow.parquet

        _check_columns(file, columns, pyarrow.parquet.read_schema(file.path).names)
        options["columns"] = list(columns)
    with tempfile.TemporaryDirectory(prefix="sae-pareto-") as folder:
        link = Path(folder) / f"table{file.kind}{file.compression}"
        link.symlink_to(file.path.resolve())
        yield from datasets.load_dataset(
            TABLES[file.kind], data_files=str(link), split="train", streaming=True, cache_dir=folder, **options
        )


def _check_columns(file: TextFile, needed: Sequence[str], found: Sequence[str]) -> None:
    if any(name.startswith("__index_level_") for name in found):
        raise UserError(f"{file.path} has rows with more fields than its header")
    for column in needed:
        if column not in found:
            raise lacks_column(file, column, found)


def _is_blank(file: TextFile) -> bool:
    with opened(file) as stream:
        while chunk := stream.read(2**16):
            if chunk.strip():
                return False
    return True
