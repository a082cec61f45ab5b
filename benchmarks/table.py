"""Tables that are printed and written as CSV."""

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLES = "tables.txt"


@dataclass
class Table:
    """Rows under named columns; `formats` says how a column is printed, the CSV has every digit."""

    name: str
    title: str
    formats: Mapping[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, **values: Any) -> None:
        unknown = set(values) - set(self.formats)
        if unknown:
            raise KeyError(f"table {self.name} has no column {', '.join(sorted(unknown))}")
        self.rows.append(values)

    def text(self) -> str:
        """The title, then columns as wide as their widest cell: text to the left, numbers to the right."""
        cells = [[_cell(row.get(name), pattern) for name, pattern in self.formats.items()] for row in self.rows]
        heads = [name.replace("_", " ") for name in self.formats]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        to_left = [all(isinstance(row.get(name), str | None) for row in self.rows) for name in self.formats]
        lines = [
            "  ".join(c.ljust(w) if left else c.rjust(w) for c, w, left in zip(line, widths, to_left, strict=True))
            for line in [heads, *cells]
        ]  # fmt: skip
        return "\n".join([self.title, *(f"  {line}".rstrip() for line in lines)])

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{self.name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.formats), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def show(self, folder: Path) -> None:
        """Print the table, write its CSV, and add it to the text of all tables."""
        print(f"\n{self.text()}", flush=True)
        self.write(folder)
        with (folder / TABLES).open("a") as file:
            file.write(f"{self.text()}\n\n")


def _cell(value: Any, pattern: str) -> str:
    return "" if value is None else pattern.format(value)


@dataclass(frozen=True)
class Spread:
    """The median of repeated measurements, and the quartiles around it."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if len(values) < 3:
            return cls(statistics.median(values), min(values), max(values), len(values))
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), low, high, len(values))
