"""What this process is doing, for a test that kills it at a chosen moment. Does nothing unless somebody listens."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Listener = Callable[[str, object], AbstractContextManager[None]]
_listener: Listener | None = None


def listen(listener: Listener) -> None:
    """Run every phase of this process inside of what `listener` returns for it.

    Args:
        listener: takes a phase's name, and what the phase is about: a file's path, a trainer, or None.
    """
    global _listener
    _listener = listener


@contextmanager
def phase(name: str, about: object = None) -> Iterator[None]:
    """Around a block, or as a function's decorator."""
    if _listener is None:
        yield
    else:
        with _listener(name, about):
            yield
