"""Checks of a local model's folder before anything is loaded or submitted: no weights are read."""

import json
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.config.model_shape import (
    ALIASES,
    embedding_rows,
    language_part,
    model_shape,
    number_in,
    read_model_config,
)
from pipeline.config.schema import ModelConfig
from pipeline.errors import UserError
from pipeline.tokens.contexts import check_vocabulary

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
"""Where transformers looks for weights, in this order; of the last two only tensors are read (weights_only)."""

OBJECTS = (
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
"""Files that a folder need not have, each a JSON object."""

FAST_TOKENIZER = "tokenizer.json"
OTHER_TOKENIZERS = ("vocab.*", "*.model", "merges.txt", "*.tiktoken", "tekken.json")

CAUSAL = re.compile(r"(ForCausalLM|LMHeadModel|LMHead)$")


@lru_cache(maxsize=64)
def check_model(model: ModelConfig) -> None:
    """Refuse a local folder that does not hold the model that its config.json states. A model on the hub passes.

    Raises:
        UserError: config.json is not that of a causal language model with plain weights, the files of its tokenizer or
            weights are missing or damaged, or do not match it.
    """
    if model.path is None:
        return
    folder = Path(model.path)
    config = read_model_config(folder)
    _check_class(folder, config)
    model_shape(model)
    for name in OBJECTS:
        _check_object(folder / name)
    if model.tokenizer_id is None:
        _check_tokenizer(model, folder)
    files = _weight_files(folder)
    names = [name for file in files for name in _tensor_names(file)]
    for where, layers in _layers(names).items():
        _check_layers(model, config, where, layers)


def _check_class(folder: Path, config: dict[str, Any]) -> None:
    def refuse(what: str) -> None:
        raise UserError(f"model.path={folder} {what}: expected a causal language model, such as GPT2LMHeadModel")

    stated = config.get("architectures")
    classes = stated if isinstance(stated, list) else []
    named = str(classes[0]) if classes else str(config.get("model_type"))
    if not isinstance(config.get("model_type"), str):
        refuse('holds a config.json without "model_type"')
    if config.get("is_encoder_decoder"):
        refuse(f"holds {named}, which has an encoder")
    if classes and not CAUSAL.search(named):
        refuse(f"holds {named}, which predicts no next token of a text")
    if config.get("quantization_config") or language_part(config).get("quantization_config"):
        refuse(f"holds {named} with quantized weights, which are not supported")
    if config.get("auto_map") and not _known(config["model_type"]):
        refuse(f"holds {named}, which needs code of its own (auto_map), and that is never run")


def _check_object(file: Path) -> None:
    if not file.is_file():
        return
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({str(error).splitlines()[0][:200]}): expected a JSON object") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} holds a {type(content).__name__}: expected a JSON object")


def _check_tokenizer(model: ModelConfig, folder: Path) -> None:
    from tokenizers import Tokenizer

    if not (folder / FAST_TOKENIZER).is_file():
        if any(next(folder.glob(name), None) for name in OTHER_TOKENIZERS):
            return
        raise UserError(f"no tokenizer in {folder}: expected {FAST_TOKENIZER}, or the files of an older tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(folder / FAST_TOKENIZER))
    except Exception as error:  # the library has no exception of its own
        raise UserError(f"{folder / FAST_TOKENIZER} is damaged: {str(error).splitlines()[0][:200]}") from error
    check_vocabulary(tokenizer, str(folder), embedding_rows(model))


def _known(model_type: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # takes a second to import

    return model_type in CONFIG_MAPPING_NAMES


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads weights from, the shards of an index included."""
    for single, index in ((SINGLE, INDEX), (PICKLED, PICKLED_INDEX)):
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            return _shards(folder, folder / index)
    raise UserError(f"model.path={folder} holds no weights: expected {SINGLE}, {INDEX}, {PICKLED} or {PICKLED_INDEX}")


def _shards(folder: Path, index: Path) -> list[Path]:
    try:
        shards = sorted({str(shard) for shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is damaged: expected a JSON object with a weight_map") from error
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise UserError(f"{index} names {len(shards)} files, of which {len(missing)} are missing: {few(missing)}")
    return [folder / shard for shard in shards]


def _tensor_names(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return _pickled_names(file)
    try:
        with safe_open(file, framework="numpy") as opened:
            return list(opened.keys())
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is cut or damaged ({error}): copy or download it again") from error


def _pickled_names(file: Path) -> list[str]:
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):
            held = torch.load(file, map_location="meta", weights_only=True)
    except Exception as error:  # PyTorch's own text advises weights_only=False, which runs whatever code the file holds
        raise UserError(
            f"{file} is damaged, or is no checkpoint of tensors alone: copy or download it again"
        ) from error
    if not isinstance(held, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in held.values()):
        raise UserError(f"{file} is no checkpoint: expected tensors by their names")
    return [str(name) for name in held]


def _layers(names: Iterable[str]) -> dict[str, set[int]]:
    """Numbers of the layers in the longest list of modules, by the name before the number; empty if there is none."""
    lists: dict[str, list[int]] = defaultdict(list)
    for name in names:
        found = re.match(r"(.*?\.)??(\d+)\.", name)
        if found:
            lists[found.group(1) or ""].append(int(found.group(2)))
    longest = max(lists, key=lambda where: len(lists[where]), default=None)
    return {} if longest is None else {longest: set(lists[longest])}


def _check_layers(model: ModelConfig, config: dict[str, Any], where: str, layers: set[int]) -> None:
    expected = number_in(language_part(config), ALIASES["n_layers"])
    if expected is None:  # model.shape is given by hand
        return
    extra = language_part(config).get("num_nextn_predict_layers") or 0  # heads that transformers does not load
    missing = sorted(set(range(expected)) - layers)
    unexpected = sorted(layers - set(range(expected + int(extra))))
    if missing or unexpected:
        what = [f"lacks {few(f'{where}{i}' for i in missing)}"] if missing else []
        what += [f"also holds {few(f'{where}{i}' for i in unexpected)}"] if unexpected else []
        raise UserError(
            f"model.path={model.path}: config.json says {expected} layers, but the checkpoint {' and '.join(what)}"
        )


def few(names: Iterable[str]) -> str:
    """The first three names, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
