"""What a machine says of itself, here or on a node, and checks of it. Imports nothing slow unless it is asked to."""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.diagnosis.check_result import CheckResult
from pipeline.runtime.c_compiler import MISSING, c_compiler
from pipeline.storage.places import PACKAGE, door
from pipeline.tokens.hub_cache import hub_cache

GIGABYTE = 1e9
HUB = ("huggingface.co", 443)
SAE_THREADS = 1


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


# ------------------------------------------------------------------------------------------------------------- checks


def cores(facts: MachineFacts) -> CheckResult:
    memory = f"{facts.memory / GIGABYTE:.0f} GB of memory"
    if facts.cores > SAE_THREADS:
        return CheckResult("ok", f"{facts.cores} cores, {memory}")
    return CheckResult(
        "warn", f"1 core, {memory}: on a processor training is slow; ask for hydra.launcher.cpus_per_task=8"
    )


def disk(facts: MachineFacts) -> CheckResult:
    if facts.disk_reason:
        return CheckResult("problem", f"no run can be written ({facts.disk_reason}): give execution.sweeps_dir=FOLDER")
    free = facts.disk_free / GIGABYTE
    if free < 1:
        return CheckResult("problem", f"{free:.1f} GB of disk are free: {door('clean')} shows what could go")
    if free < 10:
        return CheckResult("warn", f"{free:.1f} GB of disk are free: plan=true says what a sweep needs")
    return CheckResult("ok", f"the sweeps' folder can be written, {free:.0f} GB are free")


def gpu(facts: MachineFacts) -> CheckResult:
    if facts.torch_gpus and not facts.c_compiler:
        return CheckResult("problem", f"PyTorch sees {facts.torch_gpus} GPU, but there is {MISSING}")
    if facts.torch_gpus:
        return CheckResult("ok", f"PyTorch sees {facts.torch_gpus} GPU")
    if facts.visible_gpus and facts.torch_gpus == 0:
        return CheckResult(
            "problem",
            f"Slurm gave GPU {facts.visible_gpus}, but PyTorch sees none: everything would train on processors; check "
            "nvidia-smi on the node, and that PyTorch was installed for its CUDA version",
        )
    if facts.gpus and facts.torch_gpus == 0:
        return CheckResult(
            "problem", f"{facts.gpus} GPU here, but PyTorch sees none: install PyTorch for its CUDA version"
        )
    if facts.gpus:
        return CheckResult("ok", f"{facts.gpus} GPU")
    return CheckResult("ok", "no GPU: training runs on processors")


def hub(facts: MachineFacts) -> CheckResult:
    """Either the hub or, without it, what prefetching brought to the cache."""
    held = f"{facts.cached_models} models in {facts.hub_cache}"
    token = "a token is there" if facts.token else "no token: gated models (Gemma) are refused; set HF_TOKEN"
    if not facts.offline and not facts.hub_reason:
        return CheckResult("ok" if facts.token else "warn", f"the Hugging Face hub can be reached; {token}")
    why = "HF_HUB_OFFLINE is set" if facts.offline else f"the hub cannot be reached ({facts.hub_reason})"
    if not facts.cached_models:
        return CheckResult(
            "warn",
            f"{why}, and the cache {facts.hub_cache} is empty: only the bundled and local models work; on a machine "
            f"with the hub: {door('prefetch')}, with the overrides of your sweep and HF_HOME on a shared disk",
        )
    if facts.offline:
        return CheckResult("ok", f"{why}; {held}")
    return CheckResult("warn", f"{why}; {held}: set HF_HUB_OFFLINE=1, else every load tries the hub first")


def bundled(facts: MachineFacts) -> CheckResult:
    if facts.bundled_reason:
        return CheckResult("problem", f"the bundled model cannot be read ({facts.bundled_reason}): install again")
    return CheckResult("ok", "the bundled model can be read")


CHECKS: tuple[Callable[[MachineFacts], CheckResult], ...] = (cores, disk, gpu, hub, bundled)


def findings(facts: MachineFacts) -> Iterator[CheckResult]:
    for check in CHECKS:
        found = check(facts)
        yield CheckResult(found.level, f"{facts.host}: {found.text}")
