"""A language model's shape, from conf/model or from a local folder's config.json: no weights are read here."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.config.schema import ModelConfig, ModelShape
from pipeline.errors import UserError

ALIASES: dict[str, tuple[str, ...]] = {
    "n_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model"),
    "n_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads"),
    "d_head": ("v_head_dim", "head_dim"),
    "d_mlp": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "positions": ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx"),
}
"""What Hugging Face's config.json calls each part of a model's shape, by family."""

STRETCHED = {"linear", "dynamic", "yarn"}
"""Kinds of rotary scaling whose config.json states the positions before scaling."""


@lru_cache(maxsize=64)
def model_shape(model: ModelConfig) -> ModelShape:
    """The shape written in conf/model, else read from the local folder's config.json."""
    if model.shape is not None:
        return model.shape
    if model.path is None:
        raise UserError(f"model.shape is missing: conf/model/{model.name}.yaml must state it for a hub model")
    return shape_of_config(read_model_config(Path(model.path)))


@lru_cache(maxsize=64)
def read_model_config(folder: Path) -> dict[str, Any]:
    """A local folder's config.json.

    Raises:
        UserError: there is none, or it holds no JSON object.
    """
    if not folder.is_dir():
        raise UserError(f"model.path={folder} is not a folder: expected a Hugging Face folder with config.json")
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"model.path={folder} holds no config.json: expected a Hugging Face folder")
    try:
        loaded: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({str(error).splitlines()[0]}): expected a JSON object") from error
    if not isinstance(loaded, dict):
        raise UserError(f"{path} holds a {type(loaded).__name__}: expected a JSON object with the model's settings")
    return loaded


def language_part(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of the language model: multimodal ones keep them in a part of their own."""
    text = config.get("text_config")
    return config | text if isinstance(text, dict) else config


def embedding_rows(model: ModelConfig) -> int | None:
    """Rows of the embedding, from a local folder's config.json; None where that is not known."""
    if model.path is None or not (Path(model.path) / "config.json").is_file():
        return None
    return number_in(language_part(read_model_config(Path(model.path))), ("vocab_size",))


def shape_of_config(config: dict[str, Any]) -> ModelShape:
    """Read a model's shape from its config.json.

    Raises:
        UserError: a part of the shape is missing, or is no positive whole number.
    """
    config = language_part(config)
    found = {part: number_in(config, names) for part, names in ALIASES.items()}
    if found["d_head"] is None and found["d_model"] and found["n_heads"]:
        found["d_head"] = found["d_model"] // found["n_heads"]
    if found["d_mlp"] is None and found["d_model"]:  # GPT-2 leaves n_inner out, MPT and BLOOM have no such setting
        found["d_mlp"] = 4 * found["d_model"]
    positions = _positions(config, found.pop("positions"))
    for part, value in found.items():
        if value is None:
            raise UserError(f"config.json names no {part} ({' or '.join(ALIASES[part])}): give model.shape yourself")
    return ModelShape(**{part: value for part, value in found.items() if value is not None}, positions=positions)


def number_in(config: dict[str, Any], names: Sequence[str]) -> int | None:
    """The size that has one of these names; None where config.json has none of them."""
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"config.json's {name}={str(value)[:60]} is not a size: expected one positive whole number")
        return value
    return None


def _positions(config: dict[str, Any], stated: int | None) -> int | None:
    """How long a context the model takes; None where nothing limits it (BLOOM, and others with ALiBi)."""
    if stated is None or config.get("alibi") is True or config.get("model_type") == "bloom":
        return None
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if not isinstance(scaling, dict):
        return stated
    longest = stated
    for one in [scaling, *(value for value in scaling.values() if isinstance(value, dict))]:
        kind, factor = one.get("rope_type", one.get("type")), one.get("factor")
        if kind in STRETCHED and isinstance(factor, int | float):
            longest = max(longest, int((one.get("original_max_position_embeddings") or stated) * factor))
    return longest
