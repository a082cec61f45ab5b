"""Numbers as text: how a value looks in a cell of the page."""

from typing import Any

import numpy as np
import pandas as pd

NOTHING = "\N{EN DASH}"
"""What stands where there is no value."""


def text(value: Any, form: str = "{:.6g}") -> str:
    """A value in words; numbers by a format, gaps as a dash."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or NOTHING
    return form.format(value)


def interval(low: Any, high: Any, form: str) -> str:
    return NOTHING if pd.isna(low) or pd.isna(high) else f"{form.format(low)} to {form.format(high)}"


def values(column: "pd.Series[Any]", most: int = 12) -> str:
    """The different values of a column, each with how many runs have it where there are several."""
    counts = column.dropna().astype(str).value_counts(sort=False)
    if len(counts) <= 1:
        return NOTHING if counts.empty else str(counts.index[0])
    parts = [f"{value} ({count} run{'s' if count > 1 else ''})" for value, count in counts.head(most).items()]
    return ", ".join(parts) + (f", and {len(counts) - most} more" if len(counts) > most else "")
