"""Times of a peer's phases, taken around its own functions; nothing of ours but this is imported beside it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Phases:
    """Seconds by phase; an inner phase's time is taken from the phase around it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.seconds[name] += took - self._inner.pop()
            self._inner[-1] += took

    def wrap(self, owner: Any, method: str, name: Callable[[Any], str]) -> None:
        """Count every call of a method under the phase that its object's name gives."""
        original = getattr(owner, method)

        def timed(this: Any, *args: Any, **kwargs: Any) -> Any:
            with self.phase(name(this)):
                return original(this, *args, **kwargs)

        setattr(owner, method, timed)
