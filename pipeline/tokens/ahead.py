"""Contexts that are wanted next, read, tokenised and packed beside the work on the last ones."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import ContextSource


@dataclass(frozen=True)
class _Prepared:
    first: int
    count: int
    position: dict[str, Any]  # of the source before it was read on
    contexts: Future[Contexts]


class ReadAhead:
    """A source of contexts that one thread reads on where it is told to."""

    def __init__(self, source: ContextSource, pool: ThreadPoolExecutor) -> None:
        self.contexts_per_epoch = source.contexts_per_epoch
        self._source, self._pool = source, pool
        self._prepared: _Prepared | None = None

    def prepare(self, first: int, count: int) -> None:
        """Begin to read contexts; an error waits for the one who reads them."""
        self._finish()
        position = self._source.position()
        self._prepared = _Prepared(first, count, position, self._pool.submit(self._source.read, first, count))

    def read(self, first: int, count: int) -> Contexts:
        prepared = self._finish()
        if prepared and (prepared.first, prepared.count) == (first, count):
            return prepared.contexts.result()
        return self._source.read(first, count)

    def position(self) -> dict[str, Any]:
        """As if nothing were prepared: it is to be read by whoever goes on from here."""
        return self._prepared.position if self._prepared else self._source.position()

    def restore(self, position: dict[str, Any]) -> None:
        self._finish()
        self._source.restore(position)

    def _finish(self) -> _Prepared | None:
        """Leave the source to the caller."""
        prepared, self._prepared = self._prepared, None
        if prepared:
            prepared.contexts.exception()  # waits
        return prepared


@contextmanager
def read_ahead(source: ContextSource) -> Iterator[ReadAhead]:
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        yield ReadAhead(source, pool)
