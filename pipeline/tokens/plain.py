"""Documents in plain text files."""

import io
import re
from collections.abc import Iterator
from typing import IO

from pipeline.config.schema import DataConfig
from pipeline.errors import UserError
from pipeline.tokens.files import TextFile

CHUNK = 2**20
"""Characters read at a time."""
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def plain_documents(file: TextFile, data: DataConfig) -> Iterator[str]:
    """The file as one document, or its parts between separators, in order.

    Raises:
        UserError: the file is not in data.encoding, or no text; the message names both.
    """
    try:
        with opened(file) as binary, io.TextIOWrapper(binary, encoding=codec(data.encoding)) as stream:
            for document in _pieces(stream, data.split_documents):
                if "\0" in document:
                    raise UserError(f"{file.path} holds NUL bytes: no text, or UTF-16: data.encoding=utf-16-le")
                yield document
    except UserError:
        raise
    except UnicodeError as error:
        raise wrong_encoding(file, data.encoding) from error
    except Exception as error:  # each compression library has errors of its own
        raise UserError(f"{file.path} cannot be read: {error}") from error


def opened(file: TextFile) -> IO[bytes]:
    """The file's bytes, decompressed as they are read."""
    if not file.compression:
        return file.path.open("rb")
    import fsspec

    stream: IO[bytes] = fsspec.open(
        f"file://{file.path.resolve()}", "rb", compression=_COMPRESSIONS[file.compression]
    ).open()
    return stream


_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}


def codec(encoding: str) -> str:
    """The codec for an encoding; for UTF-8, one that skips the byte-order mark of some editors."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding


def wrong_encoding(file: TextFile, encoding: str) -> UserError:
    with opened(file) as stream:
        start = stream.read(2)
    likely = "utf-16" if start in UTF_16_MARKS else "latin-1"
    return UserError(f"{file.path} is not in {encoding}: give the encoding of the files, as data.encoding={likely}")


def _pieces(stream: io.TextIOWrapper, separator: str) -> Iterator[str]:
    if separator == "none":
        yield stream.read()
        return
    between = re.compile(r"\n[ \t]*\n\s*" if separator == "blank_line" else re.escape(separator))
    rest = ""
    while chunk := stream.read(max(CHUNK, len(rest))):
        *whole, rest = between.split(rest + chunk)
        yield from whole
    yield rest
