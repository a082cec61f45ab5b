"""Blocks of activations that processes of one machine share, so that each runs the language model on part of the text.

The first process to need a block claims it, computes it and publishes it in a folder for those that have not reached it
yet; meanwhile, others compute a later one. What is in a block does not depend on who computed it. Any trouble therefore
has the same answer: a process computes the block for itself.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipeline.activations.blocks import Block, StreamShape
from pipeline.errors import DamagedFile
from pipeline.storage.files import remove
from pipeline.storage.lease import process_start
from pipeline.storage.reading import problem, read_bytes

WAIT_SECONDS, PATIENCE_SECONDS = 0.05, 60.0
HELD = 4
"""Blocks that are kept for a process that is behind; it computes the others itself."""


@dataclass(frozen=True)
class SharingGroup:
    """Processes that share blocks, as the launcher describes them to each."""

    folder: str
    rank: int  # of this process
    world_size: int
    hooks: tuple[str, ...]  # all that some process reads


class BlockCache:
    """Blocks of one process in rising order, computed here or by another process of its group.

    Args:
        compute: a block by its index, with the group's hooks.
        blocks: how many there are.
        stopped: whether this process was told to stop; then it waits for no block.
    """

    def __init__(
        self, group: SharingGroup, shape: StreamShape, compute: Callable[[int], Block], blocks: int,
        device: torch.device, stopped: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.group, self.shape, self.compute, self.blocks, self.stopped = group, shape, compute, blocks, stopped
        self.device, self.folder, self.compute_seconds = str(device), Path(group.folder), 0.0

    def read(self, index: int) -> Block:
        """The block: loaded, or computed."""
        self._arrive(index)
        deadline = time.monotonic() + max(PATIENCE_SECONDS, 3 * self.compute_seconds)
        while time.monotonic() < deadline and not self.stopped():
            loaded = self._load(index)
            if loaded is not None:
                return loaded
            if self._claim(index):
                return self._compute(index)
            later = next(filter(self._claim_later, range(index + 1, index + self.group.world_size)), None)
            if later is None:
                time.sleep(WAIT_SECONDS)
            else:
                self._compute(later)
        return self.compute(index)

    def close(self) -> None:
        """Tell the others that this process needs no more blocks."""
        self._arrive(self.blocks)

    def _arrive(self, index: int) -> None:
        """Tell the others which block this process needs, and drop earlier ones that were kept for it."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            at = self._position(self.group.rank)
            if problem(at):
                remove(at)
            at.write_text(str(index))
            for path in self.folder.glob(f"*.for-{self.group.rank}"):
                if int(path.name.partition(".")[0]) < index:
                    path.unlink()

    def _load(self, index: int) -> Block | None:
        path = self._ready(index, self.group.rank)
        activations = None
        with suppress(OSError, SafetensorError):
            activations = None if problem(path) else load_file(path, self.device)
        with suppress(OSError):
            remove(path)
        return None if activations is None else Block(index, self.shape, activations)

    def _claim_later(self, index: int) -> bool:
        return index < self.blocks and not self._ready(index, self.group.rank).exists() and self._claim(index)

    def _claim(self, index: int) -> bool:
        """Whether this process must compute the block: it is not ready, and no living process computes it."""
        path = self.folder / f"{index}.claim"
        with suppress(DamagedFile, OSError, ValueError):
            pid, started = read_bytes(path).decode().split()
            if process_start(int(pid)) != started:
                path.unlink()
        try:
            with path.open("x") as file:
                file.write(f"{os.getpid()} {process_start(os.getpid())}")
        except FileExistsError:
            return False
        except OSError:  # this folder can hold no claim
            return True
        if self._ready(index, self.group.rank).exists():  # published in between
            path.unlink()
            return False
        return True

    def _compute(self, index: int) -> Block:
        """Compute a claimed block and publish it for all that have not reached it, perhaps this process too."""
        started = time.monotonic()
        try:
            block = self.compute(index)
            self.compute_seconds = time.monotonic() - started
            with suppress(OSError, SafetensorError):
                self._publish(block, [rank for rank in range(self.group.world_size) if self._needs(rank, index)])
        finally:
            with suppress(OSError):
                (self.folder / f"{index}.claim").unlink()
        return block

    def _needs(self, rank: int, index: int) -> bool:
        try:
            at = int(read_bytes(self._position(rank)))
        except (DamagedFile, OSError, ValueError):  # it has not begun
            at = 0
        needed = index >= at if rank != self.group.rank else index > at
        return needed and sum(1 for _ in self.folder.glob(f"*.for-{rank}")) < HELD

    def _publish(self, block: Block, ranks: list[int]) -> None:
        """Write one file, with a link for each process that needs it: it is gone when all have loaded it."""
        if not ranks:
            return
        file = self.folder / f"{block.index}.by-{self.group.rank}"
        try:
            save_file(block.activations, file)
            for rank in ranks:
                os.link(file, self._ready(block.index, rank))
        finally:
            file.unlink(missing_ok=True)

    def _ready(self, index: int, rank: int) -> Path:
        return self.folder / f"{index}.for-{rank}"

    def _position(self, rank: int) -> Path:
        return self.folder / f"at-{rank}"
