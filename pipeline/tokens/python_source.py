"""Documents of `data.source=python`: what a user's own file yields."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pipeline.config.schema import DataConfig
from pipeline.errors import UserError
from pipeline.runtime.user_code import load, running


def python_documents(data: DataConfig) -> Iterator[str]:
    """What `documents(data)` of the file at data.path yields: the same texts in the same order each time.

    Raises:
        UserError: the file cannot be read, fails, or yields something else than text.
    """
    path = Path(str(data.path)).expanduser().absolute()
    documents = getattr(load(path), "documents", None)
    if not callable(documents):
        raise UserError(
            f"data.path={data.path} has no function documents: expected documents(data), which yields texts"
        )
    with running(path):
        for document in documents(data):
            if not isinstance(document, str):
                raise UserError(f"{path}: documents yields {type(document).__name__}: expected str")
            yield document


@cache
def digest(data: DataConfig) -> str:
    """Of all documents. Of the file's code it would not do: what it reads may change."""
    total = hashlib.sha256()
    for document in python_documents(data):
        total.update(hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest())
    return total.hexdigest()[:16]
