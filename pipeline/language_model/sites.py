"""Hooks of a language model, and how wide they are, from its configuration alone: no weights are read here."""

import difflib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.config.schema import ModelConfig, ModelShape, RunConfig
from pipeline.errors import UserError

WIDTHS: dict[str, str] = {
    "hook_resid_pre": "d_model",
    "hook_resid_post": "d_model",
    "hook_attn_out": "d_model",
    "hook_mlp_out": "d_model",
    "mlp.hook_post": "d_mlp",
    "attn.hook_z": "heads",
}
"""Each hook of a block that an SAE can be trained at, and what its width is called."""

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
            raise UserError(f"config.json names no {part} ({' or '.join(ALIASES[part])}): give model.shape by hand")
    return ModelShape(**{part: value for part, value in found.items() if value is not None}, positions=positions)


def number_in(config: dict[str, Any], names: Sequence[str]) -> int | None:
    """The size that has one of these names; None where config.json has none of them."""
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"config.json's {name}={str(value)[:60]} is no size: expected one positive whole number")
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


def d_in(run: RunConfig) -> int:
    """Width of the activations that a run autoencodes; checks that the model has the layer, hook and positions.

    Raises:
        UserError: the layer or the hook does not exist, or the context is too long, in one line.
    """
    shape = model_shape(run.model)
    if shape.positions is not None and run.model.context > shape.positions:
        raise UserError(
            f"model.context={run.model.context} is longer than model {run.model.name} reads: at most {shape.positions}"
        )
    if not 0 <= run.layer < shape.n_layers:
        last = shape.n_layers - 1
        raise UserError(f"layer={run.layer} does not exist: model {run.model.name} has layers 0 to {last}")
    matched = re.fullmatch(r"blocks\.\{layer\}\.(.+)", run.site.hook)
    kind = matched.group(1) if matched else run.site.hook
    if kind not in WIDTHS or matched is None:
        near = difflib.get_close_matches(kind, WIDTHS, n=1, cutoff=0.0)[0]
        accepted = ", ".join(f"blocks.{{layer}}.{name}" for name in WIDTHS)
        raise UserError(
            f"site.hook={run.site.hook} is unknown; did you mean blocks.{{layer}}.{near}? (accepted: {accepted})"
        )
    if WIDTHS[kind] == "heads":
        return shape.n_heads * shape.d_head
    width = int(getattr(shape, WIDTHS[kind]))
    if width == 0:
        raise UserError(f"site={run.site.name} does not exist: model {run.model.name} has no MLP")
    return width


def d_sae(run: RunConfig) -> int:
    """Number of features: architecture.expansion times d_in."""
    width: int = round(run.architecture.expansion * d_in(run))
    if width < 1:
        raise UserError(f"architecture.expansion={run.architecture.expansion} leaves no features at d_in={d_in(run)}")
    return width
