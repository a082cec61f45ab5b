"""Documents of a streamed dataset, fetched by `pipeline/prefetch.py` for machines that cannot reach the hub.

They are the dataset's first documents in its own order, as Parquet files next to the hub's cache. A stream of them is
the beginning of the dataset's stream.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.config.schema import DataConfig
from pipeline.tokens.tables import Content, columns_to_read

ABOUT = "about.json"
DOCUMENTS_PER_FILE = 10_000
CHARACTERS_PER_TOKEN = 6.0
"""English and code have 3 to 5: rather too much text is fetched than too little."""


def hub_cache() -> Path:
    """Where the Hugging Face libraries keep what they fetch."""
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()


def folder(data: DataConfig) -> Path:
    """Its name depends on what decides the documents and their order, not on how contexts are packed."""
    named = [data.dataset, data.subset, data.split, data.revision, columns_to_read(data)[0]]
    digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:12]
    return hub_cache() / "sae-pareto-text" / f"{str(data.dataset).replace('/', '--')}-{digest}"


def about(data: DataConfig) -> dict[str, Any] | None:
    """documents, characters, and whether that is the whole dataset; None if nothing was fetched."""
    try:
        content: dict[str, Any] = json.loads((folder(data) / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content


def files(data: DataConfig) -> list[str]:
    """The Parquet files in their order; empty if nothing was fetched."""
    return [str(path) for path in sorted(folder(data).glob("*.parquet"))] if about(data) else []


def write(data: DataConfig, documents: Iterable[Content | None], characters: float) -> dict[str, Any]:
    """Write documents until they hold so many characters; complete or absent. Returns what `about` will say."""
    target = folder(data)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    content: dict[str, Any] = {"documents": 0, "characters": 0, "whole": True}
    try:
        for number, texts in enumerate(_until(documents, characters, content)):
            _write_parquet(temporary / f"{number:06d}.parquet", data, texts)
        (temporary / ABOUT).write_text(json.dumps(content), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return content


def _until(
    documents: Iterable[Content | None], characters: float, content: dict[str, Any]
) -> Iterator[list[Content | None]]:
    texts: list[Content | None] = []
    for text in documents:
        if content["characters"] >= characters:
            content["whole"] = False
            break
        texts.append(text)
        content["documents"] += 1
        content["characters"] += _size(text)
        if len(texts) == DOCUMENTS_PER_FILE:
            yield texts
            texts = []
    if texts:
        yield texts


def _size(document: Content | None) -> float:
    """In characters: a token id counts as the text that it stands for."""
    return len(document or ()) * (1 if isinstance(document, str) else CHARACTERS_PER_TOKEN)


def _write_parquet(path: Path, data: DataConfig, documents: list[Content | None]) -> None:
    import pyarrow
    import pyarrow.parquet

    kind = pyarrow.list_(pyarrow.int64()) if data.token_column else pyarrow.string()  # stated: all may be missing
    table = pyarrow.table({columns_to_read(data)[0]: pyarrow.array(documents, kind)})
    pyarrow.parquet.write_table(table, path, compression="zstd")
