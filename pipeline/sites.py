"""Hooks of a language model, and how wide they are, from its configuration alone: no weights are read here."""

import difflib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.config import ModelConfig, ModelShape, RunConfig
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
    "n_layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "d_model": ("hidden_size", "n_embd"),
    "n_heads": ("num_attention_heads", "n_head", "num_heads"),
    "d_head": ("head_dim",),
    "d_mlp": ("intermediate_size", "n_inner"),
}
"""What Hugging Face's config.json calls each part of a model's shape, by family."""


def model_shape(model: ModelConfig) -> ModelShape:
    """The shape written in conf/model, else read from the local folder's config.json."""
    if model.shape is not None:
        return model.shape
    if model.path is None:
        raise UserError(f"model.shape is missing: conf/model/{model.name}.yaml must state it for a hub model")
    return shape_of_config(read_model_config(Path(model.path)))


@lru_cache(maxsize=64)
def read_model_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise UserError(f"model.path={folder} is not a folder: a Hugging Face folder with config.json is wanted")
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"model.path={folder} holds no config.json: a Hugging Face folder is wanted")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def shape_of_config(config: dict[str, Any]) -> ModelShape:
    found = {part: next((config[n] for n in names if config.get(n)), None) for part, names in ALIASES.items()}
    if found["d_head"] is None and found["d_model"] and found["n_heads"]:
        found["d_head"] = found["d_model"] // found["n_heads"]
    if found["d_mlp"] is None and found["d_model"]:
        found["d_mlp"] = 4 * found["d_model"]  # GPT-2 leaves n_inner out
    for part, value in found.items():
        if value is None:
            raise UserError(f"config.json names no {part} ({' or '.join(ALIASES[part])}): give model.shape by hand")
    return ModelShape(**{part: int(value) for part, value in found.items() if value is not None})


def d_in(run: RunConfig) -> int:
    """Width of the activations that a run autoencodes; checks that the model has the layer and the hook.

    Raises:
        UserError: the layer or the hook does not exist, in one line that names what does.
    """
    shape = model_shape(run.model)
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
