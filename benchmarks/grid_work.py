"""The work that the grid's three tools are given, as JSON and arrays of tokens: plain, for any environment."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WORK, TOKENS, RESULT = "work.json", "tokens.safetensors", "result.json"


@dataclass(frozen=True)
class Work:
    """One grid: 8 gated and 8 baseline SAEs at one site, the same for every tool."""

    model: str  # a Hugging Face folder
    module: str  # the site's name in the Hugging Face model
    layer: int
    d_in: int
    architectures: dict[str, str]  # ours, by arm
    widths: dict[str, int]
    lambdas: dict[str, list[float]]  # on inputs scaled so that E||x||^2 = d_in
    batch: int
    steps: int
    warmup: int
    decay: int
    context: int
    lm_batch: int
    held_out: int  # contexts
    block: int  # activations shuffled together
    calibration: int  # activations that set the input scale
    mean_norm_over_rms: float  # E||x|| / sqrt(E||x||^2) at the site
    threads: int
    learning_rates: dict[str, float]  # by tool
    seed: int = 0

    @property
    def training_tokens(self) -> int:
        return self.steps * self.batch

    @property
    def held_out_tokens(self) -> int:
        return self.held_out * (self.context - 1)

    def runs(self) -> Iterator[tuple[str, str, float]]:
        """Name, architecture and lambda of each SAE."""
        for architecture, values in self.lambdas.items():
            for value in values:
                yield f"{architecture}-{value:g}", architecture, value

    def write(self, folder: Path) -> None:
        (folder / WORK).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Work":
        return cls(**json.loads((folder / WORK).read_text()))


@dataclass(frozen=True)
class Result:
    """What one tool took and how it was set; its SAEs lie beside it, one file each."""

    tool: str
    versions: dict[str, str]
    settings: dict[str, Any]
    phases: dict[str, float]  # seconds of this tool's process by phase
    by_arm: dict[str, float]  # seconds of its training steps by architecture
    peak_memory: int  # bytes

    def write(self, folder: Path) -> None:
        (folder / RESULT).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Result":
        return cls(**json.loads((folder / RESULT).read_text()))
