"""A finished SAE on disk: SAELens' names and format, with the input scale folded in."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from pipeline.config import ModelConfig
from pipeline.errors import UserError
from pipeline.files import read_safetensors, write_json, write_safetensors
from pipeline.sae.base import SAE
from pipeline.sae.registry import config_class, sae_class

SAELENS_NAMES = {"baseline": "standard", "gated_unfrozen": "gated"}
SAELENS: dict[str, Any] = {
    "sae_lens_version": "6.54.12", "sae_lens_training_version": None, "model_class_name": "HookedTransformer",
    "model_from_pretrained_kwargs": {}, "hook_head_index": None, "prepend_bos": True, "seqpos_slice": [None],
    "exclude_special_tokens": True, "dataset_trust_remote_code": False, "neuronpedia_id": None,
}  # fmt: skip
"""What SAELens' loader, store of activations and evaluator read in the metadata. Without the version, whose format this
is, its loader takes the file for an older one and drops all metadata."""
WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"


def saelens_model_name(model: ModelConfig) -> str:
    """What TransformerLens 3, which SAELens loads models by, calls the model."""
    return (model.hub_id or model.name).removeprefix("openai-community/")


def save_sae(sae: SAE, folder: Path, metadata: dict[str, Any]) -> None:
    """Write cfg.json and sae_weights.safetensors, each complete or absent.

    Args:
        metadata: beside `SAELENS`; hook_name, model_name and context_size are read by its tools.
    """
    name = sae.config.name
    hook_name = str(metadata["hook_name"])
    config = {
        "architecture": SAELENS_NAMES.get(name, name), "d_in": sae.d_in, "d_sae": sae.d_sae, "dtype": "float32",
        "device": "cpu", "apply_b_dec_to_input": True, "normalize_activations": "none",
        "reshape_activations": "hook_z" if hook_name.endswith("hook_z") else "none",
        "metadata": SAELENS | metadata | {"pipeline_architecture": name},
    }  # fmt: skip
    weights = {key: value.detach().cpu().contiguous() for key, value in sae.state_dict().items()}
    write_safetensors(folder / WEIGHTS, weights)
    write_json(folder / CONFIG, config)


def load_sae(folder: str | Path) -> SAE:
    """The SAE of a run's folder: `encode` and `decode` read and write unscaled activations [batch, d_in].

    Raises:
        UserError: there is none.
        DamagedFile: its weights are not those that were saved.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} holds no finished SAE: {CONFIG} and {WEIGHTS} are wanted")
    config = json.loads((folder / CONFIG).read_text())
    name = config["metadata"]["pipeline_architecture"]
    settings = config["metadata"].get("architecture", {})
    accepted = {f.name for f in fields(config_class(name))}
    architecture = config_class(name)(**{k: v for k, v in settings.items() if k in accepted})
    sae = sae_class(name)(architecture, config["d_in"], config["d_sae"])
    sae.load_state_dict(read_safetensors(folder / WEIGHTS))
    return sae.requires_grad_(False).to(torch.float32)
