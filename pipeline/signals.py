"""Signals only raise a flag: the pack saves at the next step, and whoever started it decides what follows."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopFlag(threading.Event):
    """Set by the first signal, which it remembers."""

    signal: int | None = None


@contextmanager
def stop_on_signal(say: Callable[[str], None], numbers: Sequence[int] = STOPPING) -> Iterator[StopFlag]:
    """A flag that these signals raise while the block runs. The second Ctrl-C raises KeyboardInterrupt at once."""
    stop = StopFlag()

    def handler(number: int, frame: object) -> None:
        if stop.is_set():
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        stop.signal = number
        stop.set()
        say("stopping at the next step: checkpoints are written" + _again(number))

    _leave_forks_out()
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _again(number: int) -> str:
    return " (again Ctrl-C: stop at once)" if number == signal.SIGINT else ""


_forks_left_out = False


def _leave_forks_out() -> None:
    """Slurm signals every process of a task: a forked child must not answer for its parent, which does."""
    global _forks_left_out
    if not _forks_left_out:
        os.register_at_fork(after_in_child=_ignore_in_child)
        _forks_left_out = True


def _ignore_in_child() -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    for number in STOPPING:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
