"""A finished SAE on disk: SAELens' names and format, with the input scale folded in."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from pipeline.config.schema import ModelConfig
from pipeline.errors import UserError
from pipeline.sae.base import SAE
from pipeline.sae.registry import config_class, sae_class
from pipeline.storage.files import CHECKSUM, file_state, safetensors_bytes, with_checksum, write_bytes, write_json
from pipeline.storage.layout import CONFIG, WEIGHTS
from pipeline.storage.reading import problem, read_config, read_safetensors

SAELENS_NAMES = {"baseline": "standard", "gated_unfrozen": "gated"}
SAELENS: dict[str, Any] = {
    "sae_lens_version": "6.54.12", "sae_lens_training_version": None, "model_class_name": "HookedTransformer",
    "model_from_pretrained_kwargs": {}, "hook_head_index": None, "prepend_bos": True, "seqpos_slice": [None],
    "exclude_special_tokens": True, "dataset_trust_remote_code": False, "neuronpedia_id": None,
}  # fmt: skip
"""What SAELens' loader, store of activations and evaluator read in the metadata. Without the version, whose format this
is, its loader takes the file for an older one and drops all metadata."""


def saelens_model_name(model: ModelConfig) -> str:
    """What TransformerLens 3, which SAELens loads models by, calls the model."""
    return (model.hub_id or model.name).removeprefix("openai-community/")


def save_sae(sae: SAE, folder: Path, metadata: dict[str, Any]) -> None:
    """Write sae_weights.safetensors and, last, cfg.json, which states its checksum, and its own in `metadata`.

    Args:
        metadata: in addition to `SAELENS`; its tools read hook_name, model_name and context_size.
    """
    name = sae.config.name
    hook_name = str(metadata["hook_name"])
    config = {
        "architecture": SAELENS_NAMES.get(name, name), "d_in": sae.d_in, "d_sae": sae.d_sae, "dtype": "float32",
        "device": "cpu", "apply_b_dec_to_input": True, "normalize_activations": "none",
        "reshape_activations": "hook_z" if hook_name.endswith("hook_z") else "none",
    }  # fmt: skip
    weights = safetensors_bytes(sae.state_dict())
    files = metadata.get("files", {}) | {WEIGHTS: file_state(weights)}
    config["metadata"] = SAELENS | metadata | {"pipeline_architecture": name, "files": files}
    config["metadata"][CHECKSUM] = with_checksum(config)[CHECKSUM]
    write_bytes(folder / WEIGHTS, weights)
    write_json(folder / CONFIG, config)


def load_sae(folder: str | Path) -> SAE:
    """The SAE of a run's folder: `encode` and `decode` read and write unscaled activations [batch, d_in].

    Raises:
        UserError: the folder holds no finished SAE.
        DamagedFile: cfg.json or the weights differ from what was saved.
    """
    folder = Path(folder)
    config = read_config(folder)
    if config is None:
        raise UserError(f"{folder} holds no finished SAE: {CONFIG} and {WEIGHTS} are expected")
    if why := problem(folder / WEIGHTS):
        raise UserError(f"{folder} holds no finished SAE: {WEIGHTS} is expected, and {why}")
    name, metadata = config["metadata"]["pipeline_architecture"], config["metadata"]
    accepted = {f.name for f in fields(config_class(name))}
    architecture = config_class(name)(**{k: v for k, v in metadata.get("architecture", {}).items() if k in accepted})
    sae = sae_class(name)(architecture, config["d_in"], config["d_sae"])
    sae.load_state_dict(read_safetensors(folder / WEIGHTS, metadata["files"][WEIGHTS]["sha256"]))
    return sae.requires_grad_(False).to(torch.float32)
