"""Blocks of activations that the processes of one machine make for one another, so that each passes the language model
over a part of the text only.

Whoever comes first to a block claims it, makes it and leaves it in a folder for those that have not come to it yet; who
finds it claimed makes one of the next meanwhile. What is in a block does not depend on who made it, so any trouble has
the same answer: a process makes the block for itself.
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
"""Blocks that lie ready for a process that is behind; it makes the others itself."""


@dataclass(frozen=True)
class Circle:
    """The processes that exchange blocks, as the launcher tells each of them."""

    folder: str
    place: int  # of this process among `places`
    places: int
    hooks: tuple[str, ...]  # that some of them read


class Exchange:
    """Reads the blocks of one process, in rising order.

    Args:
        make: a block by its index, with the circle's hooks.
        blocks: how many there are.
        stopped: whether this process was told to stop; then no block is waited for.
    """

    def __init__(
        self, circle: Circle, shape: StreamShape, make: Callable[[int], Block], blocks: int, device: torch.device,
        stopped: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.circle, self.shape, self.make, self.blocks, self.stopped = circle, shape, make, blocks, stopped
        self.device, self.folder, self.took = str(device), Path(circle.folder), 0.0

    def read(self, index: int) -> Block:
        """The block: taken, or made."""
        self._arrive(index)
        deadline = time.monotonic() + max(PATIENCE_SECONDS, 3 * self.took)
        while time.monotonic() < deadline and not self.stopped():
            taken = self._take(index)
            if taken is not None:
                return taken
            if self._claim(index):
                return self._make(index)
            ahead = next(filter(self._claim_ahead, range(index + 1, index + self.circle.places)), None)
            if ahead is None:
                time.sleep(WAIT_SECONDS)
            else:
                self._make(ahead)
        return self.make(index)

    def leave(self) -> None:
        """Nothing is made for this process any more."""
        self._arrive(self.blocks)

    def _arrive(self, index: int) -> None:
        """Say so, and drop what was made for this process before."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            at = self._position(self.circle.place)
            if problem(at):
                remove(at)
            at.write_text(str(index))
            for path in self.folder.glob(f"*.for-{self.circle.place}"):
                if int(path.name.partition(".")[0]) < index:
                    path.unlink()

    def _take(self, index: int) -> Block | None:
        path = self._ready(index, self.circle.place)
        activations = None
        with suppress(OSError, SafetensorError):
            activations = None if problem(path) else load_file(path, self.device)
        with suppress(OSError):
            remove(path)
        return None if activations is None else Block(index, self.shape, activations)

    def _claim_ahead(self, index: int) -> bool:
        return index < self.blocks and not self._ready(index, self.circle.place).exists() and self._claim(index)

    def _claim(self, index: int) -> bool:
        """Whether this process is to make the block: nobody does, or who did has died, and it is not ready."""
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
        except OSError:  # no exchange in this folder
            return True
        if self._ready(index, self.circle.place).exists():  # it was made in between
            path.unlink()
            return False
        return True

    def _make(self, index: int) -> Block:
        """Make a claimed block and leave it for all that have not come to it, this process too if it is ahead of it."""
        started = time.monotonic()
        try:
            block = self.make(index)
            self.took = time.monotonic() - started
            with suppress(OSError, SafetensorError):
                self._leave(block, [place for place in range(self.circle.places) if self._wants(place, index)])
        finally:
            with suppress(OSError):
                (self.folder / f"{index}.claim").unlink()
        return block

    def _wants(self, place: int, index: int) -> bool:
        try:
            at = int(read_bytes(self._position(place)))
        except (DamagedFile, OSError, ValueError):  # it has not begun
            at = 0
        wanted = index >= at if place != self.circle.place else index > at
        return wanted and sum(1 for _ in self.folder.glob(f"*.for-{place}")) < HELD

    def _leave(self, block: Block, places: list[int]) -> None:
        """One file, with a name for each that wants it: it is gone when all have taken it."""
        if not places:
            return
        made = self.folder / f"{block.index}.made-{self.circle.place}"
        try:
            save_file(block.activations, made)
            for place in places:
                os.link(made, self._ready(block.index, place))
        finally:
            made.unlink(missing_ok=True)

    def _ready(self, index: int, place: int) -> Path:
        return self.folder / f"{index}.for-{place}"

    def _position(self, place: int) -> Path:
        return self.folder / f"at-{place}"
