"""Signals only raise a flag: the pack saves at the next step, and the launcher decides what follows."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 0.1


class StopFlag(threading.Event):
    """Set by the first signal, which it remembers.

    It takes no lock, as its base does: a handler runs between any two instructions of the main thread, also inside of
    `wait` or of a handler (a launcher's death is told once for each of its threads), and would wait for itself.
    """

    signal: int | None = None

    def is_set(self) -> bool:
        return self.signal is not None

    def wait(self, timeout: float | None = None) -> bool:
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
        return self.is_set()


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
        with suppress(RuntimeError):  # the main thread is just printing: that it stops, it says at its end
            say("stopping at the next step: checkpoints are written" + _again(number))

    _leave_forks_out()
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup: the terminal may go
    taken = [number for number in numbers if not (ignored and number == signal.SIGHUP)]
    previous = {number: signal.signal(number, handler) for number in taken}
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
