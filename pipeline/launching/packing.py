"""Groups runs into packs: runs of one stream, as many as fit into memory."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.schema import RunConfig
from pipeline.errors import UserError
from pipeline.estimates.compute import memory
from pipeline.records.identity import pack_identity, run_name

MAX_RUNS = 16
"""Runs per pack unless runs_per_pack sets another number. More would gain little, and a kill would stop more runs."""


@dataclass(frozen=True)
class Capacity:
    """What one pack may take: bytes of memory (None: unknown) on a kind of device, and a number of runs."""

    memory: float | None
    device: str = "cpu"
    runs: int | None = None


def pack_up(runs: Sequence[RunConfig], capacity: Capacity, at_once: int = 1) -> list[list[RunConfig]]:
    """Packs, in the order of their runs.

    Args:
        at_once: number of packs that run in parallel; there are no fewer packs, where runs suffice.
    """
    groups: dict[str, list[RunConfig]] = {}
    for run in runs:
        groups.setdefault(pack_identity(run), []).append(run)
    slots_each = max(1, at_once // max(1, len(groups)))
    return [pack for group in groups.values() for pack in _fill(group, capacity, slots_each)]


def _fill(group: Sequence[RunConfig], capacity: Capacity, slots: int) -> list[list[RunConfig]]:
    most = capacity.runs or min(MAX_RUNS, math.ceil(len(group) / slots))
    packs: list[list[RunConfig]] = [[]]
    for run in group:
        fits = capacity.runs or capacity.memory is None or memory([*packs[-1], run], capacity.device) <= capacity.memory
        if packs[-1] and (len(packs[-1]) >= most or not fits):
            packs.append([])
        packs[-1].append(run)
    return packs


def check_alone(run: RunConfig, capacity: Capacity) -> None:
    """Raises: UserError, where a run does not fit into memory even alone."""
    needed = memory([run], capacity.device)
    if capacity.memory is not None and needed > capacity.memory:
        raise UserError(
            f"{run_name(run)} alone needs about {needed / 1e9:.1f} GB of {_memory(capacity)} memory, and one pack has "
            f"{capacity.memory / 1e9:.1f} GB (hydra.launcher.memory_gb): a smaller train.block, train.calibration or "
            "architecture.expansion needs less"
        )


def _memory(capacity: Capacity) -> str:
    return "GPU" if capacity.device == "cuda" else "main"


def machine_memory() -> float:
    """Bytes of memory that this machine has, or less where a container or a Slurm task limits it."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    try:
        group = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].lstrip("/")
        limits = [Path("/sys/fs/cgroup", group, "memory.max"), Path("/sys/fs/cgroup/memory.max")]
        found = [float(limit.read_text()) for limit in limits if limit.is_file() and limit.read_text().strip() != "max"]
    except (OSError, ValueError):
        return total
    return min([total, *found])
