"""What a machine says of itself, here or on a node. Imports nothing slow unless it is asked to."""

import os
import platform
import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.c_compiler import c_compiler
from pipeline.storage.places import PACKAGE
from pipeline.tokens.hub_cache import hub_cache

GIGABYTE = 1e9
HUB = ("huggingface.co", 443)


@dataclass(frozen=True)
class MachineFacts:
    """Plain values, so that a node's facts travel as JSON."""

    host: str
    cores: int  # that this process may use
    memory: float  # bytes
    disk_free: float  # bytes below the sweeps' folder
    disk_reason: str  # why nothing can be written there; empty when it can
    visible_gpus: str | None  # CUDA_VISIBLE_DEVICES
    gpus: int  # that the driver lists
    torch_gpus: int | None  # that PyTorch can use; None where it was not asked
    c_compiler: str | None
    hub_cache: str
    cached_models: int
    token: bool
    offline: bool
    hub_reason: str  # why the hub cannot be reached; empty when it can
    bundled_reason: str  # why the bundled model cannot be read

    @property
    def memory_gb(self) -> float:
        return self.memory / GIGABYTE

    @property
    def free_gb(self) -> float:
        """On the disk of the sweeps' folder."""
        return self.disk_free / GIGABYTE

    @property
    def reaches_hub(self) -> bool:
        return not self.offline and not self.hub_reason

    @property
    def why_no_hub(self) -> str:
        return "HF_HUB_OFFLINE is set" if self.offline else f"the hub cannot be reached ({self.hub_reason})"


def gather(sweeps_dir: Path, ask_torch: bool) -> MachineFacts:
    """The facts of the machine that this runs on. PyTorch takes seconds to answer."""
    cache = hub_cache()
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    free, reason = _disk(sweeps_dir)
    return MachineFacts(
        host=platform.node(), cores=len(os.sched_getaffinity(0)), disk_free=free, disk_reason=reason,
        memory=float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"), gpus=_gpus(), torch_gpus=_torch() if ask_torch else None,
        c_compiler=c_compiler(),
        hub_cache=str(cache), cached_models=len(list(cache.glob("models--*"))) if cache.is_dir() else 0,
        token=bool(os.environ.get("HF_TOKEN")) or (_hub_home() / "token").is_file(), offline=offline,
        hub_reason="" if offline else _hub(), bundled_reason=_bundled(),
    )  # fmt: skip


def _hub_home() -> Path:
    return Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()


def _disk(sweeps_dir: Path) -> tuple[float, str]:
    """Free bytes, and why no file can be written there."""
    wanted = sweeps_dir.absolute()
    there = next(folder for folder in (wanted, *wanted.parents) if os.access(folder, os.F_OK))
    free = float(shutil.disk_usage(there).free)
    probe = there / f".doctor-{platform.node()}-{os.getpid()}"
    try:
        probe.write_text("x", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        return free, f"{there}: {error.strerror}"
    return free, ""


def _gpus() -> int:
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, errors="replace", timeout=20)
        return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return 0


def _torch() -> int:
    import torch

    return torch.cuda.device_count()


def _hub() -> str:
    try:
        socket.create_connection(HUB, timeout=3).close()
    except OSError as error:
        return str(error)
    return ""


def _bundled() -> str:
    from safetensors import safe_open

    path = PACKAGE / "bundled" / "model" / "model.safetensors"
    try:
        with safe_open(str(path), framework="numpy") as file:
            return "" if list(file.keys()) else f"{path} is empty"
    except Exception as error:  # safetensors has an error of its own for a damaged file
        return f"{path}: {str(error).splitlines()[0]}"
