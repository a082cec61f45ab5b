"""Blocks of activations in rising order. On a GPU, a thread computes the next block during the steps on the last one.

The thread has a CUDA stream of its own. A language model leaves a GPU idle between its small operations, and so does a
training step that waits for the host; each fills the other's gaps. On a CPU both would only share the cores. What is in
a block does not depend on when it was computed.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch

from pipeline.activations.blocks import Block
from pipeline.runtime.device import is_out_of_memory
from pipeline.runtime.prefetcher import Prefetcher


@dataclass(frozen=True)
class BlockKey:
    """Which block, and the hooks whose activations it must hold."""

    index: int
    hooks: frozenset[str]

    def serves(self, other: "BlockKey") -> bool:
        return self.index == other.index and self.hooks.issuperset(other.hooks)


class PrefetchedBlocks:
    """Computes blocks, to be used in a `with` block: at its end no thread uses the language model any more.

    Args:
        compute: a block, by its index and its hooks.
        position: where the source of its contexts stands.
        device: of its activations.
        room_for_two: whether `prefetch` computes blocks. It stops to do so when two find no memory.
    """

    def __init__(
        self, compute: Callable[[int, Collection[str]], Block], position: Callable[[], dict[str, Any]],
        device: torch.device, room_for_two: bool,
    ) -> None:  # fmt: skip
        self._compute, self._room_for_two = compute, room_for_two
        self._streams: Any = torch.get_device_module(device)
        self._stream: Any = self._streams.Stream() if room_for_two else None
        self._prefetcher: Prefetcher[BlockKey, Block | None] = Prefetcher(position, "prefetch-block")

    def prefetch(self, index: int, hooks: Collection[str]) -> None:
        """Begin to compute a block; an error waits for the one who reads it."""
        if self._room_for_two:
            key, device, now = BlockKey(index, frozenset(hooks)), self._streams.current_device(), self._current()
            self._prefetcher.start(key, lambda: self._compute_in_stream(key, device, now))

    def read(self, index: int, hooks: Collection[str]) -> Block:
        """A block: the prefetched one, where it is the one that is asked for."""
        prefetched = self._prefetcher.take()
        if prefetched is None or not prefetched.key.serves(BlockKey(index, frozenset(hooks))):
            return self._compute(index, hooks)
        block = prefetched.result()
        if block is None:
            self._room_for_two = False
            return self._compute(index, hooks)
        self._streams.synchronize()  # the host waits too: otherwise the rest would count as the first run's seconds
        for activations in block.activations.values():
            if activations.device.type != "cpu":
                # the other stream takes the memory back only after this one has finished with it
                activations.record_stream(self._current())
        return block

    def position(self) -> dict[str, Any]:
        """Of the source as if nothing were prefetched."""
        return self._prefetcher.position()

    def _compute_in_stream(self, key: BlockKey, device: Any, now: Any) -> Block | None:
        """In the thread. Returns None where two blocks find no memory: an exception would keep the first one's."""
        try:
            self._streams.set_device(device)  # a thread begins on the first device
            with self._streams.stream(self._stream):
                self._stream.wait_stream(now)
                return self._compute(key.index, sorted(key.hooks))
        except BaseException as error:
            if is_out_of_memory(error):
                return None
            raise

    def _current(self) -> Any:
        return self._streams.current_stream()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._prefetcher.take()
