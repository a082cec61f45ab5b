"""Tables of words, which summary.md and the page both show; and what names a pair of fronts in them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.analysis.frontier import PANEL
from pipeline.comparison import tables
from pipeline.comparison.arms import Pair
from pipeline.comparison.findings import Findings
from pipeline.comparison.panel import Panel

NOTHING = "\N{EN DASH}"
"""What stands where there is no value."""
FRONTS = (*PANEL, "reference", "candidate", "d_sae_reference", "d_sae_candidate")
"""Columns that name a pair of fronts."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """A table, heading by heading; columns of equal length."""

    columns: Mapping[str, Sequence[str]]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return list(zip(*self.columns.values(), strict=True))

    def __str__(self) -> str:
        return "\n".join([" | ".join(self.columns), *(" | ".join(row) for row in self.rows)])


def shown(rows: Iterable[Mapping[str, str]], headings: Sequence[str]) -> Shown:
    """From rows by heading, a dash where a row lacks one; without headings that no row has."""
    rows = list(rows)
    columns = {name: [row.get(name) or NOTHING for row in rows] for name in headings}
    return Shown({name: cells for name, cells in columns.items() if set(cells) != {NOTHING}})


def place(row: Row, among: pd.DataFrame) -> str:
    """Site and layer, and whatever else it takes to tell panels apart."""
    further = [str(row[name]) for name in ("model", "data.name", "evaluation.id") if among[name].nunique() > 1]
    return ", ".join([f"{row['site']}, layer {row['layer']}", *further])


def named(row: Row, found: Findings) -> dict[str, str]:
    """The first cells of a pair of fronts: where it is, and, where a sweep compares several, the arms with widths."""
    where = {"where": place(row, found.runs)}
    return where | {"fronts": arms(row)} if len(all_arms(found)) > 1 else where


def all_arms(found: Findings) -> list[str]:
    """The arms with their widths that a sweep compares, each once."""
    pairs = [(one.panel, pair) for one in found.compared for pair in (*one.pairs, *(pair for pair, _ in one.lost))]
    return list(dict.fromkeys(arms(row_of(panel, pair)) for panel, pair in pairs))


def arms(row: Row) -> str:
    widths = ("?" if pd.isna(row[f"d_sae_{arm}"]) else row[f"d_sae_{arm}"] for arm in ("reference", "candidate"))
    return f"{row['reference']} / {row['candidate']} ({' / '.join(map(str, widths))})"


def row_of(panel: Panel, pair: Pair) -> Row:
    """What `named` and `key` take."""
    return tables.of_pair(panel, pair)[0]


def key(row: Row) -> tuple[Any, ...]:
    """The same for rows of the same pair of fronts, whatever table they are of."""
    return tuple(None if pd.isna(row[name]) else row[name] for name in FRONTS)


def of_pairs(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each pair of fronts."""
    return [group for _, group in rows.groupby([*FRONTS], dropna=False, sort=False)]


def first(rows: pd.DataFrame) -> Row:
    found: dict[Any, Any] = rows.iloc[0].to_dict()
    return found


def ends(row: "pd.Series[Any]", name: str, form: str) -> str:
    """An interval; a dash where there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return NOTHING if pd.isna(low) else f"{form.format(low)} to {form.format(high)}"
