"""Contexts that are wanted next, read, tokenised and packed beside the work on the last ones."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import ContextSource

CLOSE_SECONDS = 5.0
"""How long an exit waits for the thread: ended in the middle of decoding, it might take the process down."""


@dataclass(frozen=True)
class _Prepared:
    first: int
    count: int
    position: dict[str, Any]  # of the source before it was read on
    contexts: Future[Contexts]


class ReadAhead:
    """A source of contexts that a thread reads on: what follows those that were read, up to the context `until`."""

    def __init__(self, source: ContextSource, until: int = 0) -> None:
        self.contexts_per_epoch = source.contexts_per_epoch
        self._source, self._until = source, until
        self._prepared: _Prepared | None = None

    def prepare(self, first: int, count: int) -> None:
        """Begin to read contexts; an error waits for the one who reads them.

        The thread is a daemon: a process that is told to stop at once does not wait for a network.
        """
        self._finish()
        self._prepared = _Prepared(first, count, self._source.position(), Future())
        threading.Thread(target=self._read_prepared, args=(self._prepared,), name="read-ahead", daemon=True).start()

    def _read_prepared(self, prepared: _Prepared) -> None:
        try:
            prepared.contexts.set_result(self._source.read(prepared.first, prepared.count))
        except BaseException as error:
            prepared.contexts.set_exception(error)

    def read(self, first: int, count: int) -> Contexts:
        prepared = self._finish()
        if prepared and (prepared.first, prepared.count) == (first, count):
            contexts = prepared.contexts.result()
        else:
            contexts = self._source.read(first, count)
        if first + 2 * count <= self._until:
            self.prepare(first + count, count)
        return contexts

    def position(self) -> dict[str, Any]:
        """As if nothing were prepared: it is to be read by whoever goes on from here."""
        return self._prepared.position if self._prepared else self._source.position()

    def restore(self, position: dict[str, Any]) -> None:
        self._finish()
        self._source.restore(position)

    def _finish(self, seconds: float | None = None) -> _Prepared | None:
        """Leave the source to the caller."""
        prepared, self._prepared = self._prepared, None
        if prepared:
            prepared.contexts.exception(seconds)  # waits
        return prepared

    def close(self) -> None:
        """Nothing more is wanted: what is being read may end, if it does so soon."""
        with suppress(TimeoutError):
            self._finish(CLOSE_SECONDS)


@contextmanager
def read_ahead(source: ContextSource, until: int = 0) -> Iterator[ReadAhead]:
    ahead = ReadAhead(source, until)
    try:
        yield ahead
    finally:
        ahead.close()
