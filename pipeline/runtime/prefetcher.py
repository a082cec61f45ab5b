"""A background thread that computes the next item of a series while its reader works with the last one."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True)
class Prefetched(Generic[K, T]):
    """An item that was computed in advance; `result()` raises what its computation raised."""

    key: K
    position: dict[str, Any]  # of the source before it was read for this item
    future: Future[T]

    def result(self) -> T:
        return self.future.result()


class Prefetcher(Generic[K, T]):
    """Computes at most one item in advance. Only the thread uses the item's source, until `take` or `close`.

    Args:
        position: where the source of the items stands, as a checkpoint keeps it.
        name: of the thread. It is a daemon: a process that must stop at once does not wait for a network.
    """

    def __init__(self, position: Callable[[], dict[str, Any]], name: str) -> None:
        self._position, self._name = position, name
        self._next: Prefetched[K, T] | None = None

    def start(self, key: K, compute: Callable[[], T]) -> None:
        """Begin to compute an item; an error waits for its reader."""
        self.take()
        self._next = Prefetched(key, self._position(), Future())
        threading.Thread(target=_fulfil, args=(self._next.future, compute), name=self._name, daemon=True).start()

    def take(self) -> Prefetched[K, T] | None:
        """Wait for the item and hand it over, if one was started; the source is the caller's from here on."""
        taken, self._next = self._next, None
        if taken:
            taken.future.exception()  # waits
        return taken

    def position(self) -> dict[str, Any]:
        """Of the source as if nothing were prefetched: a process that resumes here reads that item again."""
        return self._next.position if self._next else self._position()

    def close(self, seconds: float) -> None:
        """Drop the item. Wait so long for the thread: if the process ends during its work, the process may crash."""
        dropped, self._next = self._next, None
        if dropped:
            with suppress(TimeoutError):
                dropped.future.exception(seconds)


def _fulfil(future: Future[T], compute: Callable[[], T]) -> None:
    try:
        future.set_result(compute())
    except BaseException as error:
        future.set_exception(error)
