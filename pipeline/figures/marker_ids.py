"""Names of points in a figure's SVG: which rows of the figure's CSV the markers of one group are.

Matplotlib writes an artist's gid as the id of its group, in which there is one element per marker, in the order of the
data. The report reads the ids and ties each marker to a run.
"""

import re
from collections.abc import Sequence

ID = re.compile(r"points\.(.+)\.(\d+(?:-\d+)*)")


def rows_gid(column: str, rows: Sequence[int]) -> str | None:
    """The gid of an artist that shows `column` of these rows of the figure's data; None where it shows none.

    Args:
        rows: numbers of rows as they stand in the CSV, from 0, in the order of the artist's data. All have a place on
            both axes: matplotlib writes no marker for NaN.
    """
    return f"points.{column}.{'-'.join(map(str, rows))}" if len(rows) else None


def read_gid(gid: str) -> tuple[str, list[int]] | None:
    """Column and rows; None of a group that is not of points."""
    found = ID.fullmatch(gid)
    return (found[1], [int(row) for row in found[2].split("-")]) if found else None
