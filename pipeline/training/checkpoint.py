"""Checkpoints of one run: tensors in safetensors, the rest in JSON, with checksums. The last two are kept."""

from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from pipeline.errors import DamagedFile
from pipeline.storage.files import CHECKSUM, digest, remove, write_bytes, write_checksummed
from pipeline.storage.phases import phase
from pipeline.storage.reading import other_run, read_bytes, read_object, say

KEPT, TENSORS = 2, "tensors_sha256"


@phase("checkpoint")
def write_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write the tensors, then the JSON with the checksums of both: once it is there, the checkpoint is complete."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    name = f"step-{step:09d}"
    write_bytes(folder / f"{name}.safetensors", content)
    write_checksummed(
        folder / f"{name}.json", state | {"run": folder.parent.name, "step": step, TENSORS: digest(content)}
    )
    for old in checkpoints(folder)[:-KEPT]:
        remove(old)
        remove(old.with_suffix(".safetensors"))


def checkpoints(folder: Path) -> list[Path]:
    """The JSON of each checkpoint, oldest first."""
    return sorted(path for path in folder.glob("step-*.json") if path.stem.removeprefix("step-").isdecimal())


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of the newest undamaged checkpoint, if there is one; damaged ones are reported and skipped."""
    for path in reversed(checkpoints(folder)):
        try:
            return _read(path)
        except DamagedFile as error:
            say(f"checkpoint {error}: the one before it is used")
        except FileNotFoundError:
            say(f"checkpoint {path.with_suffix('.safetensors')} is gone: the one before it is used")
    return None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = read_object(path, {TENSORS: str, CHECKSUM: str}) or {}
    if why := other_run(state, path.parent.parent):
        raise DamagedFile(path, why)
    tensors = path.with_suffix(".safetensors")
    content = read_bytes(tensors)
    if digest(content) != state[TENSORS]:
        raise DamagedFile(tensors, "its checksum differs")
    return load(content), state
