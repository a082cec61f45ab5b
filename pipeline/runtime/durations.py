"""Durations: as people read them, and as a pack takes them."""

import time
from dataclasses import dataclass


def clock(seconds: float | None) -> str:
    """1 h 05 min; 2 min 10 s; 7 s."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@dataclass
class Timer:
    """Adds the wall-clock time of a `with` block to one phase."""

    seconds: dict[str, float]
    phase: str

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + time.perf_counter() - self._started
