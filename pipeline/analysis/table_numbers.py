"""Numbers as spreadsheets write them: decimal commas, thousands, percentages, infinities, and cells without any."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.errors import UserError

UNKNOWN = {
    "", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "\N{EN DASH}", "\N{EM DASH}", "?", ".", "#div/0!",
    "#value!", "#ref!", "#name?", "#num!", "#null!", "<na>", "unknown",
}  # fmt: skip
"""Cells that say that there is no value, in small letters."""
INFINITE = re.compile(r"[+-]?(inf(inity)?|\N{INFINITY})", re.IGNORECASE)
SPACED = re.compile(r"[+-]?\d{1,3}([ '\N{RIGHT SINGLE QUOTATION MARK}]\d{3})+(?!\d)")
"""A number with thousands set apart by spaces or apostrophes."""
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
THOUSANDS = {mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(\{mark}\d{{3}})+(?!\d)") for mark in ",."}
OTHER = {",": ".", ".": ","}
LARGEST_MEANT = 1e9
"""No L0, loss, coefficient or time is larger. A larger number stands for infinity; no axis could show it."""
SMALLEST_MEANT = 1e-30
"""What is nearer to 0 is 0: a logarithmic axis from there on would overflow."""
LARGEST = 2**53
"""Of whole numbers: beyond it, not every one is a float."""


@dataclass
class Numbers:
    """Columns of text as numbers."""

    place: Callable[[object], str]  # words for a line of the file
    decimal: str
    percent: dict[str, list[object]] = field(default_factory=dict)  # by column: lines with a percent sign
    infinite: int = 0  # cells that were left blank for it, or for being too large

    def column(self, cells: "pd.Series[str]", name: str, least: int | None = None) -> "pd.Series[float]":
        """The column; NaN where it says that there is no value, or an infinite or far too large one.

        Args:
            least: of a column of whole numbers, the smallest that can be meant.

        Raises:
            UserError: a cell is not a number, or not a whole one where it should be.
        """
        values = [self._value(cell, name, least, line) for line, cell in cells.items()]
        return pd.Series(values, cells.index, dtype=float)

    def _value(self, cell: str, name: str, least: int | None, line: object) -> float:
        if is_unknown(cell):
            return np.nan
        if INFINITE.fullmatch(cell):
            self.infinite += 1
            return np.nan
        if cell.endswith("%"):
            self.percent.setdefault(name, []).append(line)
        text = plain(cell, self.decimal)
        value = float(text) if PLAIN.fullmatch(text) else np.nan
        if abs(value) > LARGEST_MEANT and (least is None or np.isinf(value)):
            self.infinite += 1
            return np.nan
        if np.isnan(value) or (least is not None and (value % 1 or not least <= value <= LARGEST)):
            kind = "a number" if least is None else f"a whole number from {least} on"
            raise UserError(f"{self.place(line)}: {name}={cell} is not {kind}")
        return value if abs(value) >= SMALLEST_MEANT else 0.0


def is_unknown(cell: str) -> bool:
    return cell.lower() in UNKNOWN


def plain(cell: str, decimal: str) -> str:
    """The cell with a decimal point and without thousands marks; not a number where it was none."""
    text = cell.removesuffix("%").strip().replace("\N{MINUS SIGN}", "-")
    if SPACED.match(text):
        text = re.sub(r"(?<=\d)[ '\N{RIGHT SINGLE QUOTATION MARK}](?=\d{3})", "", text)
    grouping = OTHER[decimal]
    if THOUSANDS[grouping].match(text):
        text = text.replace(grouping, "")
    return text.replace(",", ".") if decimal == "," else text


def decimal_mark(cells: "pd.Series[str]", place: Callable[[object], str]) -> str:
    """Comma or point, by the cells in which the mark can be nothing but a decimal one.

    Args:
        cells: of all columns whose numbers need not be whole.

    Raises:
        UserError: some cells have the one and some the other.
    """
    seen: dict[str, object] = {}
    for line, cell in cells.items():
        both = re.sub(r"[^,.]", "", cell)
        mark = both[-1:]
        if mark and len(set(both)) == 1 and (len(both) > 1 or THOUSANDS[mark].match(cell)):
            continue  # 1,024 may be either
        if mark and re.match(r"[+\-\N{MINUS SIGN}]?[\d.,]", cell):
            seen.setdefault(mark, line)
    if len(seen) > 1:
        comma, point = place(seen[","]), place(seen["."])
        raise UserError(f"{comma}: a decimal comma, where {point.rpartition(', ')[2]} has a decimal point")
    return next(iter(seen), ".")
