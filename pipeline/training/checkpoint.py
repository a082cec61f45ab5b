"""Checkpoints of one run: tensors in safetensors, the rest in JSON, the last two kept, each with its checksum."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from pipeline.files import write_bytes, write_json

log = logging.getLogger(__name__)
KEPT = 2


def write_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Tensors first; the JSON beside them holds the checksum of both, appears last and means complete."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    name = f"step-{step:09d}"
    write_bytes(folder / f"{name}.safetensors", content)
    whole = state | {"step": step}
    write_json(folder / f"{name}.json", whole | {"sha256": _checksum(content, whole)})
    for old in sorted(folder.glob("step-*.json"))[:-KEPT]:
        old.unlink()
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that is whole; a damaged one is named and passed over."""
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            state = json.loads(path.read_text())
            content = path.with_suffix(".safetensors").read_bytes()
        except (OSError, ValueError) as error:  # no file; no text or no JSON
            log.warning("checkpoint %s cannot be read (%s): the one before it is used", path, error)
            continue
        if isinstance(state, dict) and state.pop("sha256", "") == _checksum(content, state):
            return load(content), state
        log.warning("checkpoint %s is damaged (checksum differs): the one before it is used", path)
    return None


def _checksum(tensors: bytes, state: dict[str, Any]) -> str:
    digest = hashlib.sha256(tensors)
    digest.update(json.dumps(state, sort_keys=True).encode())
    return digest.hexdigest()


def remove_checkpoints(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()
