"""Names of runs where there is no room for them: what tells them apart is kept, and numbers beside them stay whole."""

from collections.abc import Sequence

LEAST = 12
"""Characters that a shortened name has at least."""


def without_the_middle(name: str, width: int) -> str:
    """A name in so many characters: its beginning and, since that is where runs differ, more of its end."""
    width = max(width, 3)
    if len(name) <= width:
        return name
    tail = (width - 1) * 2 // 3
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def short_names(names: Sequence[str], width: int) -> dict[str, str]:
    """Each name in at most `width` characters, shorter ones only where they are too long as they are.

    What all names share goes first, then the hash at their ends where they differ without it, then the middle.
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
