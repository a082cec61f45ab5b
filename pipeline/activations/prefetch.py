"""Blocks of activations in rising order; on a GPU the next is made beside the steps on the last: by a thread, in a
stream of its own.

A language model leaves a GPU idle between its small operations, and so does a step that waits for the host; each fills
the other's gaps. On a CPU both would only share the cores. What is in a block does not depend on when it was made.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.activations.blocks import Block
from pipeline.runtime.device import is_out_of_memory


@dataclass(frozen=True)
class _Prepared:
    index: int
    hooks: frozenset[str]
    position: dict[str, Any]  # of the source before it was read for this block
    block: Future[Block | None]  # None: two found no room


class Blocks:
    """Reads blocks.

    Args:
        make: a block, by its index and its hooks.
        position: where the source of its contexts stands.
        device: of its activations.
        beside: whether `prepare` makes blocks, as long as memory has room for two.
    """

    def __init__(
        self, make: Callable[[int, Collection[str]], Block], position: Callable[[], dict[str, Any]],
        device: torch.device, beside: bool,
    ) -> None:  # fmt: skip
        self._make, self._position, self.beside = make, position, beside
        self._streams: Any = torch.get_device_module(device)
        self._stream: Any = self._streams.Stream() if beside else None
        self._prepared: _Prepared | None = None

    def read(self, index: int, hooks: Collection[str]) -> Block:
        prepared = self._finish()
        if prepared is None or prepared.index != index or not prepared.hooks.issuperset(hooks):
            return self._make(index, hooks)
        block = prepared.block.result()
        if block is None:
            self.beside = False
            return self._make(index, hooks)
        self._streams.synchronize()  # the host waits too: or the rest would count as the first run's seconds
        now = self._streams.current_stream()
        for activations in block.activations.values():
            if activations.device.type != "cpu":
                activations.record_stream(now)  # the other stream takes the memory again when this one is done with it
        return block

    def prepare(self, index: int, hooks: Collection[str]) -> None:
        """Begin to make a block; an error waits for the one who reads it."""
        if self.beside:
            self._finish()
            prepared = _Prepared(index, frozenset(hooks), self._position(), Future())
            given = prepared, self._streams.current_device(), self._streams.current_stream()
            threading.Thread(target=self._make_prepared, args=given, name="next-block", daemon=True).start()
            self._prepared = prepared

    def _make_prepared(self, prepared: _Prepared, device: Any, now: Any) -> None:
        try:
            self._streams.set_device(device)  # a thread begins on the first
            with self._streams.stream(self._stream):
                self._stream.wait_stream(now)
                block = self._make(prepared.index, sorted(prepared.hooks))
        except BaseException as error:
            if is_out_of_memory(error):
                prepared.block.set_result(None)
            else:
                prepared.block.set_exception(error)
        else:
            prepared.block.set_result(block)

    def position(self) -> dict[str, Any]:
        """Of the source as if nothing were prepared: it is to be read by whoever goes on from here."""
        return self._prepared.position if self._prepared else self._position()

    def _finish(self) -> _Prepared | None:
        """Leave the source and the language model to the caller."""
        prepared, self._prepared = self._prepared, None
        if prepared:
            prepared.block.exception()  # waits
        return prepared


@contextmanager
def made_ahead(blocks: Blocks) -> Iterator[Blocks]:
    """At the end nobody uses the language model any more."""
    try:
        yield blocks
    finally:
        blocks._finish()
