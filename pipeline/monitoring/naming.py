"""Shortens names of runs where a line is too narrow, and keeps what distinguishes them."""

from collections.abc import Sequence

LEAST = 12
"""Minimum number of characters of a shortened name."""


def without_the_middle(name: str, width: int) -> str:
    """A name in `width` characters: its beginning, and more of its end, since that is where runs differ."""
    width = max(width, 3)
    if len(name) <= width:
        return name
    tail = (width - 1) * 2 // 3
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def short_names(names: Sequence[str], width: int) -> dict[str, str]:
    """Each name in at most `width` characters; unchanged where all fit.

    Common parts are dropped first, then the hash at the end if names differ without it, then the middle.
    """
    if max(map(len, names), default=0) <= width:
        return {name: name for name in names}
    parts = [name.split("-") for name in names]
    if len({len(each) for each in parts}) == 1 and len(names) > 1:
        columns = list(zip(*parts, strict=True))
        kept = [place for place, column in enumerate(columns) if len(set(column)) > 1]
        without_hash = [place for place in kept if place != len(columns) - 1]
        for places in (without_hash, kept):
            distinct = ["-".join(each[place] for place in places) for each in parts]
            if len(set(distinct)) == len(set(names)):
                return {name: without_the_middle(short, width) for name, short in zip(names, distinct, strict=True)}
    return {name: without_the_middle(name, width) for name in names}
