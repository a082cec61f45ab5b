"""Durations as people read them."""


def clock(seconds: float | None) -> str:
    """1 h 05 min; 2 min 10 s; 7 s."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
