"""Training contexts that are read, tokenised and packed in a background thread before they are needed."""

from types import TracebackType
from typing import Any, Self

from pipeline.runtime.prefetcher import Prefetcher
from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import ContextSource

CLOSE_SECONDS = 5.0


class PrefetchedContexts:
    """A source of contexts, to be used in a `with` block: after each read, a thread reads the contexts that follow.

    Args:
        source: used by nobody else inside the block.
        until: number of the context at which prefetching ends; 0: nothing is prefetched.
    """

    def __init__(self, source: ContextSource, until: int = 0) -> None:
        self.contexts_per_epoch = source.contexts_per_epoch
        self._source, self._until = source, until
        self._prefetcher: Prefetcher[tuple[int, int], Contexts] = Prefetcher(source.position, "prefetch-contexts")

    def prefetch(self, first: int, count: int) -> None:
        """Begin to read `count` contexts from number `first` on."""
        self._prefetcher.start((first, count), lambda: self._source.read(first, count))

    def read(self, first: int, count: int) -> Contexts:
        """As the source's `read`; raises what it raises."""
        prefetched = self._prefetcher.take()
        if prefetched and prefetched.key == (first, count):
            contexts = prefetched.result()
        else:
            contexts = self._source.read(first, count)
        if first + 2 * count <= self._until:
            self.prefetch(first + count, count)
        return contexts

    def position(self) -> dict[str, Any]:
        """Of the source as if nothing were prefetched."""
        return self._prefetcher.position()

    def restore(self, position: dict[str, Any]) -> None:
        self._prefetcher.take()
        self._source.restore(position)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._prefetcher.close(CLOSE_SECONDS)
