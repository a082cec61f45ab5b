"""Tables of the page: every run, what training cost, what is failed or missing."""

import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import ARM, KEY, SETTING_PREFIXES, as_floats, axes_of
from pipeline.comparison.shown import Shown
from pipeline.records.columns import FORMS, heading
from pipeline.report import cells
from pipeline.storage.layout import run_folder

RUNS_SHOWN = 2000
"""Rows of the table of runs, and points of a figure, at the most: a browser takes its time over more."""
ROWS_SHOWN = 300
"""Rows of any other table at the most."""


@dataclass(frozen=True)
class Column:
    heading: str
    texts: list[str]
    kind: str = "number"  # set to the right, and sorted as a number; or words, which may be many; or "", a word
    links: list[str] | None = None


@dataclass(frozen=True)
class Table:
    """Columns of equal length; `left_out` rows are not among them."""

    name: str  # its id on the page
    columns: list[Column]
    left_out: int = 0

    @property
    def rows(self) -> list[list[tuple[str, str, str | None]]]:
        """Cells, row by row: text, kind, and what it leads to."""
        sides = [zip(c.texts, repeat(c.kind), c.links or repeat(None), strict=False) for c in self.columns]
        return [list(row) for row in zip(*sides, strict=True)]


MEASURED = (
    "l0", "loss_recovered", "loss_recovered_mean_ablation", "ce_sae", "delta_ce", "gamma", "alive_fraction",
    "effective_width", "fvu",
)  # fmt: skip
"""Columns of runs.csv in the table of runs."""
UNITS = {"ce_sae": ", nats", "delta_ce": ", nats"}
COST: tuple[tuple[str, str, str], ...] = (
    ("seconds", "training, s", "{:.1f}"),
    ("rate", "tokens/s", "{:.0f}"),
    ("flops", "FLOPs spent", "{:.2e}"),
    ("memory", "peak memory, GB", "{:.2f}"),
)


def shown(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that the page shows, in the order of the manifest: all, or else those on the fronts first."""
    first = np.argsort(~runs["on_frontier"].to_numpy(dtype=bool), kind="stable")[:RUNS_SHOWN]
    return runs.iloc[np.sort(first)].reset_index(drop=True)


def runs_table(runs: pd.DataFrame, declared: int, folder: Path | None, page: Path) -> Table:
    """One row per run: what sets it apart, what was measured, what it cost, where it lies.

    Args:
        runs: as `shown` gives them.
        declared: how many there are in all.
        folder: the sweeps' folder; None for points that have none.
        page: the folder of the page, for links to the runs.
    """
    cost = costs(runs)
    columns = [plain(runs, name, words) for name, words in _settings(runs).items()]
    columns += [Column("status", texts(runs["status"]), ""), Column(heading("on_frontier"), _front(runs), "")]
    for name in (name for name in MEASURED if name != "effective_width" or runs[name].notna().any()):
        columns.append(Column(heading(name) + UNITS.get(name, ""), texts(runs[name], FORMS.get(name, "{:.6g}"))))
        if name == "loss_recovered":
            columns.append(_interval(runs, name, FORMS[name]))
    columns += [Column(words, texts(cost[name], form)) for name, words, form in COST]
    return Table("runs", [*columns, _folders(runs, folder, page)], declared - len(runs))


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Training seconds, tokens per second, FLOPs of the products formed, peak memory of the process."""
    seconds = as_floats(runs["training_seconds"])
    name = "execution.peak_memory_bytes"
    memory = as_floats(runs[name]) / 1e9 if name in runs else np.full(len(runs), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(seconds > 0, as_floats(runs["tokens"]) / seconds, np.nan)
    flops = as_floats(runs["training_flops"]) if "training_flops" in runs else np.full(len(runs), np.nan)
    return pd.DataFrame({"seconds": seconds, "rate": rate, "flops": flops, "memory": memory}, index=runs.index)


def _settings(runs: pd.DataFrame) -> dict[str, str]:
    """Columns that tell the runs apart, with their headings."""
    usual = ["site", "layer", "architecture", "d_sae", *axes_of(runs), "seed"]
    last = [name.rpartition(".")[2] for name in varying(runs)]
    short = {name: word if last.count(word) == 1 else name for name, word in zip(varying(runs), last, strict=True)}
    return {name: name for name in several(runs)} | {name: heading(name) for name in usual} | short


def varying(runs: pd.DataFrame) -> list[str]:
    """Settings that differ among the runs that have them, other than those that every table shows."""
    names = [name for name in map(str, runs) if name.startswith(SETTING_PREFIXES) and name not in KEY]
    return [name for name in names if name not in {"site.hook", "architecture.expansion"} and runs[name].nunique() > 1]


def plain(rows: pd.DataFrame, name: str, words: str, form: str = "{:.6g}") -> Column:
    """A column as it stands."""
    is_number = pd.api.types.is_numeric_dtype(rows[name]) and not pd.api.types.is_bool_dtype(rows[name])
    return Column(words, texts(rows[name], form), "number" if is_number else "")


def texts(column: "pd.Series[Any]", form: str = "{:.6g}") -> list[str]:
    """A column's cells; whole numbers in full, others by the format."""
    if pd.api.types.is_integer_dtype(column):
        form = "{}"
    return [cells.text(value, form) for value in column]


def _front(runs: pd.DataFrame) -> list[str]:
    on_it = runs["on_frontier"].map({True: "yes", False: "no"})
    return [str(word) for word in on_it.where(runs["status"] == "done", cells.NOTHING)]


def _interval(runs: pd.DataFrame, name: str, form: str) -> Column:
    ends = zip(runs[f"{name}_low"], runs[f"{name}_high"], strict=True)
    return Column("95 %, over documents", [cells.interval(low, high, form) for low, high in ends])


def _folders(runs: pd.DataFrame, folder: Path | None, page: Path) -> Column:
    """Where each run lies; a link that holds as long as the page stays where it was written."""
    names = [str(run) for run in runs["run"]]
    if folder is None:
        return Column("run", names, "")
    away = Path(os.path.relpath(folder, page))
    links = [quote(f"{run_folder(away, name).as_posix()}/") for name in names]
    return Column("run folder", [run_folder(Path(folder.name), name).as_posix() for name in names], "", links)


def cost_table(runs: pd.DataFrame) -> Table:
    """One row per arm of a panel: what its finished runs took; medians over runs, and their sum."""
    done = runs[runs["status"] == "done"]
    found = costs(done).assign(**{name: done[name] for name in KEY})
    rows = []
    for key, group in found.groupby(list(KEY), dropna=False, sort=False):
        known = dict(zip(KEY, key, strict=True))
        medians = {name: group[name].median() for name, _, _ in COST if name != "memory"}
        rows.append({**known, **medians, "runs": len(group), "sum": group["seconds"].sum(min_count=1) / 3600,
                     "memory": group["memory"].max()})  # fmt: skip
    table = pd.DataFrame(rows, columns=[*KEY, "runs", "seconds", "sum", "rate", "flops", "memory"])
    names = [*several(table), "site", "layer", *ARM]
    columns = [plain(table, name, heading(name)) for name in names]
    columns.append(Column("runs", texts(table["runs"])))
    for name, words, form in COST:
        columns.append(Column({"memory": "most memory, GB"}.get(name, f"{words}, median"), texts(table[name], form)))
        if name == "seconds":
            columns.append(Column("training in all, h", texts(table["sum"], "{:.3f}")))
    return capped("cost", columns)


def several(table: pd.DataFrame) -> list[str]:
    """What it takes to tell panels at one site and layer apart."""
    return [name for name in ("model", "data.name", "evaluation.id") if table[name].nunique() > 1]


def absent_table(absent: pd.DataFrame) -> Table:
    kinds = {"status": "", "run": "words", "reason": "words"}
    return capped("absent", [Column(name, texts(absent[name]), kind) for name, kind in kinds.items()])


def of_words(name: str, shown: Shown) -> Table:
    """A table that summary.md has too."""
    columns = [Column(heading, list(cells), _kind(cells)) for heading, cells in shown.columns.items()]
    return capped(name, columns or [Column("", [])])


def _kind(cells: Sequence[str]) -> str:
    return "number" if all(re.fullmatch(r"[\d.]+|\N{EN DASH}", cell) for cell in cells) else "words"


def capped(name: str, columns: Sequence[Column]) -> Table:
    """A table of the first rows."""
    kept = [Column(c.heading, c.texts[:ROWS_SHOWN], c.kind, c.links) for c in columns]
    return Table(name, kept, max(len(columns[0].texts) - ROWS_SHOWN, 0))
