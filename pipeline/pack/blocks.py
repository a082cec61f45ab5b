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

from pipeline.activations import Block


@dataclass(frozen=True)
class _Prepared:
    index: int
    hooks: frozenset[str]
    position: dict[str, Any]  # of the source before it was read for this block
    block: Future[Block]


class Blocks:
    """Reads blocks.

    Args:
        make: a block, by its index and its hooks.
        position: where the source of its contexts stands.
        device: of its activations.
        beside: whether `prepare` makes blocks, which holds two of them in memory.
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
        block, now = prepared.block.result(), self._streams.current_stream()
        now.wait_stream(self._stream)
        for activations in block.activations.values():
            if activations.device.type != "cpu":
                activations.record_stream(now)  # the other stream takes the memory again when this one is done with it
        return block

    def prepare(self, index: int, hooks: Collection[str]) -> None:
        """Begin to make a block; an error waits for the one who reads it."""
        if self.beside:
            self._finish()
            self._prepared = _Prepared(index, frozenset(hooks), self._position(), Future())
            arguments = self._prepared, self._streams.current_stream()
            threading.Thread(target=self._make_prepared, args=arguments, name="next-block", daemon=True).start()

    def _make_prepared(self, prepared: _Prepared, now: Any) -> None:
        try:
            with self._streams.stream(self._stream):
                self._stream.wait_stream(now)
                prepared.block.set_result(self._make(prepared.index, sorted(prepared.hooks)))
        except BaseException as error:
            prepared.block.set_exception(error)

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
