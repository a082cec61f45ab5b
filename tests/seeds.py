"""Loops over seeds inside one test, whose failure names the seed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def named(seed: int) -> Iterator[None]:
    """What fails in the block says of which seed it is."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


def over_seeds(count: int) -> Callable[[Callable[[int], None]], Callable[[], None]]:
    """Decorates a test that takes a seed: one test, for the seeds from 0 on."""

    def loop_of(test: Callable[[int], None]) -> Callable[[], None]:
        def loop() -> None:
            for seed in range(count):
                with named(seed):
                    test(seed)

        loop.__name__, loop.__doc__ = test.__name__, test.__doc__
        return loop

    return loop_of
