"""What a sweep needs on disk, and whether it is there."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.activations.block_cache import HELD
from pipeline.config.schema import RunConfig
from pipeline.errors import UserError
from pipeline.estimates.compute import block_bytes, moments
from pipeline.language_model.sites import d_in, d_sae
from pipeline.storage.places import door

CHECKPOINTS = 2
"""Checkpoints kept per run, in addition to the one being written."""
OTHER_FILES = 1e5
"""Bytes of a run beside its weights: history, sums of held-out contexts, metrics."""


@dataclass(frozen=True)
class Need:
    """Bytes: at most, while packs are trained; and kept, when all is done."""

    most: float
    kept: float


def needed(packs: Sequence[Sequence[RunConfig]], at_once: int = 1, blocks: bool = False) -> Need:
    """What training these packs adds; `at_once` of them in parallel, which share blocks if `blocks`."""
    kept = [sum(_weights(run) + OTHER_FILES for run in pack) for pack in packs]
    passing = sorted((_passing(pack) for pack in packs), reverse=True)
    shared = cache_bytes(packs[:at_once]) if blocks and min(at_once, len(packs)) > 1 else 0.0
    return Need(sum(kept) + sum(passing[:at_once]) + shared, sum(kept))


def cache_bytes(packs: Sequence[Sequence[RunConfig]]) -> float:
    """Bytes of blocks on disk while these packs train in parallel."""
    return (HELD + len(packs)) * block_bytes([run for pack in packs for run in pack])


def _weights(run: RunConfig) -> float:
    return 4.0 * (2 * d_in(run) * d_sae(run) + d_in(run) + 4 * d_sae(run))


def _passing(pack: Sequence[RunConfig]) -> float:
    """Checkpoints of every run of a pack, and one that is being written: parameters and Adam's moments."""
    sizes = [_weights(run) * (1 + moments(run)) for run in pack]
    return CHECKPOINTS * sum(sizes) + max(sizes, default=0.0)


def check(need: Need, sweeps_dir: Path) -> str | None:
    """A warning where the disk has less free than training takes at the most.

    Raises:
        UserError: what is kept does not fit.
    """
    there = next(folder for folder in (sweeps_dir.absolute(), *sweeps_dir.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if need.most <= free:
        return None
    has = f"{there} has {free / 1e9:.1f} GB free"
    room = f"make room ({door('clean')}) or give execution.sweeps_dir=FOLDER"
    if need.kept > free:
        raise UserError(f"{has}, and these runs leave {need.kept / 1e9:.1f} GB: {room}")
    return f"warning: {has}, and with checkpoints these runs may need {need.most / 1e9:.1f} GB during training: {room}"
