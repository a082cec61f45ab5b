"""Fetches what runs read from the Hugging Face hub to its cache: models, tokenizers and documents."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipeline.activations.blocks import StreamShape, calibration_size
from pipeline.config.schema import DataConfig, ModelConfig, RunConfig
from pipeline.errors import UserError
from pipeline.language_model.folder import check_model
from pipeline.language_model.sites import d_sae
from pipeline.tokens import hub_cache, text
from pipeline.tokens.enough import check_text
from pipeline.tokens.files import local_files

T = TypeVar("T")

CONFIGURATION = ["*.json", "*.txt", "*.model", "*.jinja"]
WEIGHTS = (["*.safetensors"], ["*.bin"])
"""Patterns of weights; the second if a repository has none of the first."""


def fetch(runs: Sequence[RunConfig]) -> Iterator[str]:
    """Fetch all that these runs read; yield a line for each thing that is there.

    Raises:
        UserError: the hub cannot be reached or lacks something; or runs cannot read a local model or text.
    """
    local = [run for run in runs if run.data.source != "hub"]
    _check_local(runs)
    for model in {run.model.name: run.model for run in runs}.values():
        yield from fetch_model(model)
    check_text(local)  # after the models: it may need their tokenizers
    for data in {str(hub_cache.folder(run.data)): run.data for run in runs}.values():
        if data.source == "hub":
            key = hub_cache.folder(data)
            yield fetch_text(data, max(characters(r) for r in runs if hub_cache.folder(r.data) == key))
        else:
            yield f"data {data.name}: local, nothing to fetch"


def _check_local(runs: Sequence[RunConfig]) -> None:
    """The checks of a launch, for local models and files."""
    for run in runs:
        check_model(run.model)
        if run.model.path is not None:
            d_sae(run)  # fails early: a layer or hook that the model lacks
    for data in {run.data for run in runs if run.data.source == "files"}:
        local_files(data)


def fetch_model(model: ModelConfig) -> Iterator[str]:
    if model.tokenizer_id is not None:
        yield f"tokenizer {model.tokenizer_id}: {_snapshot(model.tokenizer_id, None, CONFIGURATION)}"
    if model.path is not None:
        yield f"model {model.name}: local, nothing to fetch"
    elif model.legacy:
        where = _snapshot(str(model.hub_id), None, [*CONFIGURATION, "*final.pth"])
        yield f"model {model.name}: {where}"
        yield f"model {model.name}: TransformerLens still asks the hub for its list of files: nodes must reach the hub"
    else:
        for weights in WEIGHTS:
            where = _snapshot(str(model.hub_id), model.revision, [*CONFIGURATION, *weights])
            if any(where.glob(weights[0])):
                break
        yield f"model {model.name}: {where}"


def fetch_text(data: DataConfig, needed: float) -> str:
    """Fetch the dataset's first documents until they hold `needed` characters. Returns a line about what is there."""
    there = hub_cache.about(data)
    if there is None or not (there["whole"] or there["characters"] >= needed):
        there = _from_hub(str(data.dataset), lambda: hub_cache.write(data, text.all_documents(data), needed))
    size = f"{there['documents']:,} documents, {there['characters'] / 1e9:.2f} billion characters"
    return f"data {data.name}: {size}{', all there are' if there['whole'] else ''}: {hub_cache.folder(data)}"


def characters(run: RunConfig) -> float:
    """How many characters of text a run may read: for training, calibration and evaluation."""
    contexts = StreamShape.of(run.train, run.model.context).contexts_read(run.train.steps)
    calibration = calibration_size(run.train, run.model.context)
    held_out = run.data.evaluation_documents * run.model.context  # at least one context per document
    tokens = (contexts + calibration + run.eval.sequences) * run.model.context + held_out
    return tokens * hub_cache.CHARACTERS_PER_TOKEN


def _snapshot(repository: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    download: Any = snapshot_download
    call = lambda: Path(download(repository, revision=revision, allow_patterns=patterns))  # noqa: E731
    return _from_hub(repository, call)


def _from_hub(repository: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{repository} cannot be fetched from the hub: {said}") from error
