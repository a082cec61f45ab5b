"""Points from a CSV instead of records: the paper's own (docs/gated_paper_tables.csv), or anyone's."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import KEY, PANEL, SETTING_PREFIXES, TABLE_ROW, group_ids
from pipeline.analysis.shares import to_fractions
from pipeline.analysis.spreadsheet import SEPARATORS, read_sheet
from pipeline.analysis.table import table
from pipeline.analysis.table_numbers import LARGEST_MEANT, PLAIN, Numbers, decimal_mark, is_unknown, plain
from pipeline.errors import UserError
from pipeline.records.columns import AXES
from pipeline.storage.places import PAPER_TABLE

OTHER_NAMES = {
    "arch": "architecture", "lam": "sparsity_coefficient", "lambda": "sparsity_coefficient",
    "\N{GREEK SMALL LETTER LAMDA}": "sparsity_coefficient", "lr": "train.lr", "width": "d_sae",
    "alive": "alive_fraction", "dead": "dead_fraction",
}  # fmt: skip
"""The paper's column names, and ours; a table may also use ours."""
PAPER_MODELS = ("gemma-7b", "pythia-2.8b")
SITES = {"resid": "resid_post", "mlp": "mlp_out", "attn": "attn_z"}
"""The paper's words for sites, and ours."""
WORDS = ("architecture", "model", "site")
THE_PAPERS = ("baseline", "gated")
"""Architectures that tables may spell with capitals."""
NEEDED = (*WORDS, "layer", "d_sae", "l0", "loss_recovered")
NUMBERS = (
    "layer", "d_in", "d_sae", "seed", "l0", "loss_recovered", "loss_recovered_mean_ablation", "ce_clean", "ce_sae",
    "ce_zero", "ce_mean", "gamma", "alive_fraction", "dead_fraction", "fvu", "train.lr", "training_seconds",
    "architecture.expansion", *AXES,
)  # fmt: skip
WHOLE = {"layer": 0, "d_in": 1, "d_sae": 1, "seed": 0}
"""Columns of whole numbers, and the smallest that can be meant."""
DAMAGED, REPAIRED = {"negative_L0_in_paper", "row_alignment_ambiguous"}, {"realigned", "CE_swapped_back"}
"""Notes on the paper's rows: left out, since the values may belong to another row; read amiss and put right (they
satisfy equation 5 again). Other notes are anyone's. A row without a finite L0 from 0 on is left out too."""
NOT_NEGATIVE = (
    *AXES, "ce_clean", "ce_sae", "ce_zero", "ce_mean", "alive_fraction", "dead_fraction", "fvu", "train.lr",
    "training_seconds", "architecture.expansion",
)  # fmt: skip
COMPUTED = {"on_frontier", "delta_ce", "n_seeds", "runs", "arm", "point", "model.layer", TABLE_ROW}
ENDS = ("_low", "_high")
"""Columns, and ends of columns, that aggregation adds: a runs.csv can be a source again."""
TEXT = {*WORDS, "run", "sweep", "note", "status", "reason"}
TEXT_ENDS = re.compile(r"(^|[._])(name|id|revision|commit|digest|version|path|clean|ablated|data|host)$")
"""Columns of words, some of which may look like numbers."""
STATES = ("done", "running", "waiting", "failed", "missing")


@dataclass(frozen=True)
class Source:
    """Points as a table of runs, and a line on the rows that a note flags."""

    name: str
    runs: pd.DataFrame
    line: str


def read_source(path: Path, percent: bool = False) -> Source:
    """Read a table whose columns have the paper's names or ours, in any spelling of a spreadsheet.

    Args:
        percent: loss recovered and the other shares are in percent.

    Raises:
        UserError: the file cannot be read as a table, a needed column is missing or doubled, a name is missing, a
            number is not one, or shares are in percent although `percent` is false.
    """
    sheet = read_sheet(path, lambda word: our_name(word) in {*NEEDED, *NUMBERS})
    cells = sheet.cells.drop_duplicates()
    rows, numbers = _to_numbers(_named(cells, path), path)
    headed = {our_name(word) for word in sheet.header if is_percentage(word)}
    to_fractions(rows, numbers, headed, percent, path)
    state = rows["status"].str.lower() if "status" in rows else pd.Series("done", index=rows.index)
    rows["status"] = state.where(state.isin(STATES), "done")
    note = _notes(rows)
    damaged = ~note.isin(["", *REPAIRED])
    line = _line(path, note, damaged, sheet.encoding, numbers.infinite, len(sheet.cells) - len(cells))
    line += _seeds_line(rows[~damaged])
    if not rows.loc[~damaged, "status"].eq("done").any():
        raise UserError(f"source={path} has no row to draw: {line}")
    kept = rows[~damaged]
    _check_names(kept, path)
    _check_seeds(kept, path)
    _check_not_negative(kept, path)
    return Source(path.stem, _runs(kept, path.stem), line)


def _check_seeds(rows: pd.DataFrame, path: Path) -> None:
    """One seed gives one point: other numbers under the same settings and seed are of something that is not said."""
    if "seed" not in rows:
        return
    with_seed = rows[rows["seed"].notna() & rows.reindex(columns=list(AXES)).notna().any(axis=1)]
    groups = pd.Series(group_ids(with_seed, [*_settings(with_seed), "seed"]), with_seed.index)
    for _, lines in groups.groupby(groups):
        if len(lines) > 1:
            listed = " and ".join(map(str, lines.index[:3]))
            raise UserError(
                f"source={path}, lines {listed}: other numbers for the same settings and seed; expected one row a "
                "seed, or a column that tells them apart"
            )


def _seeds_line(rows: pd.DataFrame) -> str:
    """Without lambda, or another axis, seeds cannot be averaged: which rows are of one point nobody knows."""
    if "seed" not in rows or rows["seed"].isna().all() or rows.reindex(columns=list(AXES)).notna().any(axis=None):
        return ""
    return ", seeds without lambda or another axis: rows of one arm with different seeds are taken as one point"


def _settings(rows: pd.DataFrame) -> list[str]:
    """Columns that tell points apart."""
    return [name for name in map(str, rows) if name in {*KEY, *AXES} or name.startswith(SETTING_PREFIXES)]


def _notes(rows: pd.DataFrame) -> "pd.Series[str]":
    """Why each row is left out, or how it was repaired; empty for others. Takes the column `note` out."""
    note = rows.pop("note") if "note" in rows else pd.Series("", index=rows.index)
    note = note.where(note.isin(DAMAGED | REPAIRED), "")
    note = note.mask((rows["l0"] < 0) & ~note.isin(DAMAGED), "negative L0")
    unmeasured = rows["status"].eq("done") & rows[["l0", "loss_recovered"]].isna().any(axis=1)
    return note.mask(unmeasured, "without a finite L0 and loss recovered")


def our_name(word: str) -> str:
    """A word of the header as we write it: Loss Recovered [%] is loss_recovered."""
    bare = re.sub(r"\s*[(\[][^)\]]*[)\]]\s*$|%", "", word.strip().lstrip("#")).strip()
    bare = re.sub(r"(?i)[ _-](percent|pct)$", "", bare)
    squashed = _squashed(bare)
    return OTHER_NAMES.get(squashed) or OURS.get(squashed) or re.sub(r"[\s-]+", "_", bare)


def is_percentage(word: str) -> bool:
    return bool(re.search(r"%|[ _([-](percent|pct)\b", word, re.IGNORECASE))


def _squashed(word: str) -> str:
    """Letters and digits alone, in small letters."""
    return re.sub(r"[\W_]", "", word).lower()


OURS = {_squashed(name): name for name in (*NEEDED, *NUMBERS, "note", "status", "run")}


def paper_points(runs: pd.DataFrame) -> pd.DataFrame:
    """The paper's points for every panel of these runs that is of one of its models, sites and layers."""
    panels = runs[list(PANEL)].drop_duplicates()
    bare = panels["model"].astype(str).str.partition("@")[0].str.rpartition("/")[2].str.lower()
    panels = panels.assign(published=bare)[bare.isin(PAPER_MODELS)]
    if panels.empty:
        return runs.iloc[:0]
    points = read_source(PAPER_TABLE).runs.rename(columns={"model": "published"})
    own = [name for name in PANEL if name not in {"model", "site", "layer"}]
    matching = panels.merge(points.drop(columns=own), on=["published", "site", "layer"])
    return matching.drop(columns="published").assign(sweep=runs["sweep"].iloc[0])


def _named(cells: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The cells under our names, without what aggregation computes itself."""
    names = [our_name(str(word)) for word in cells.columns]
    copies = [stem for name in names if (stem := re.sub(r"\.\d+$", "", name)) != name and stem in names]  # by pandas
    doubled = [name for name, count in Counter(names).items() if count > 1] + copies
    if doubled:
        raise UserError(f"source={path} has two columns for {doubled[0]}")
    lacking = [_in_both_names(name) for name in NEEDED if name not in names]
    if lacking:
        found = ", ".join(f"{word:.30}" for word in map(str, cells.columns))
        raise UserError(
            f"source={path} has no column {', no '.join(lacking)}; needed: {', '.join(NEEDED)}; found: {found:.300} "
            f"(separated by {', '.join(SEPARATORS.values())})"
        )
    named = cells.set_axis(names, axis=1)
    named = named[[name for name in names if name not in COMPUTED and not name.endswith(ENDS)]]
    architecture, site = named["architecture"], named["site"].replace({**SITES})
    for known in THE_PAPERS:
        architecture = architecture.mask(architecture.str.lower() == known, known)
    small = site.str.lower()
    return named.assign(architecture=architecture, site=small.map(SITES).fillna(site))


def _in_both_names(name: str) -> str:
    return " or ".join([name, *(other for other, ours in OTHER_NAMES.items() if ours == name)])


def _to_numbers(cells: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, Numbers]:
    """The rows with numbers in the columns of numbers; elsewhere, gaps for cells that say that there is no value."""
    columns = [name for name in NUMBERS if name in cells]
    place = f"source={path}, line {{}}".format
    fractional = [cells[name] for name in columns if name not in WHOLE]
    numbers = Numbers(place, decimal_mark(pd.concat(fractional).sort_index(kind="stable"), place))
    found = {
        name: numbers.column(column, name, WHOLE.get(name))
        if name in columns
        else _as_numbers(column.mask(column.map(is_unknown), "" if name == "note" else None), numbers.decimal)
        for name, column in cells.items()
    }
    return pd.DataFrame(found), numbers


def _as_numbers(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    """Another column, of numbers if all its cells are; names and identities stay text, whatever they look like."""
    name, known = str(column.name), column.dropna()
    if name in TEXT or TEXT_ENDS.search(name) or known.empty:
        return column
    cells = [plain(cell, decimal) for cell in known]
    if not all(PLAIN.fullmatch(cell) for cell in cells):
        return column
    values = [int(cell) if re.fullmatch(r"[+-]?\d{1,15}", cell) else float(cell) for cell in cells]
    return pd.Series(values, known.index, dtype=object).reindex(column.index).where(column.notna(), None)


def _check_names(rows: pd.DataFrame, path: Path) -> None:
    """A finished row without an architecture, model, site, layer or width can be put in no panel."""
    for name in NEEDED[:5]:
        blank = rows.index[rows[name].isna() & rows["status"].eq("done")]
        if len(blank):
            raise UserError(f"source={path}, line {blank[0]}: {name} is blank")


def _check_not_negative(rows: pd.DataFrame, path: Path) -> None:
    """A negative L0 is known of the paper's table, and left out; other values below 0 are mistakes."""
    for name in rows.columns.intersection(list(NOT_NEGATIVE)):
        below = rows.index[rows[name] < 0]
        if len(below):
            raise UserError(
                f"source={path}, line {below[0]}: {name}={rows.loc[below[0], name]:g} is negative; expected a number "
                "from 0 on"
            )


def _table_rows(rows: pd.DataFrame) -> "pd.Series[float]":
    """The line of each row that is a point of its own, NaN for one that may share its point with other seeds.

    Rows with the same settings are other seeds of one point, unless the table gives a seed twice, or neither seeds nor
    a value on any axis.
    """
    groups = pd.Series(group_ids(rows, _settings(rows)), rows.index)
    seed = rows["seed"] if "seed" in rows else pd.Series(np.nan, rows.index)
    without = seed.isna() & rows.reindex(columns=list(AXES)).isna().all(axis=1)
    twice = seed.notna() & pd.DataFrame({"group": groups, "seed": seed}).duplicated(keep=False)
    alone = (without | twice).groupby(groups).transform("any")
    return pd.Series(rows.index, rows.index, dtype=float).where(alone)


def _runs(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table that `pipeline.analysis.table` would have built; rows without a status are finished."""
    stem, own = re.sub(r"\s+", "_", name), rows["run"] if "run" in rows else pd.Series(None, rows.index, dtype=object)
    if own.isna().any() or own.duplicated().any() or own.astype(str).str.contains(" ").any():
        rows = rows.assign(run=[f"{stem}-line-{line}" for line in rows.index])
    filled: list[dict[str, Any]] = []
    for row in rows.assign(**{TABLE_ROW: _table_rows(rows)}).to_dict("records"):
        known: dict[str, Any] = {
            str(key): int(value) if key in WHOLE else value for key, value in row.items() if pd.notna(value)
        }
        filled.append({"data.name": name, "evaluation.id": name} | known | {"sweep": name})
        if "alive_fraction" in known:
            filled[-1].setdefault("dead_fraction", 1 - known["alive_fraction"])
        elif "dead_fraction" in known:
            filled[-1]["alive_fraction"] = 1 - known["dead_fraction"]
    return table(filled)


def _line(
    path: Path, note: "pd.Series[str]", damaged: "pd.Series[bool]", encoding: str, infinite: int, repeated: int
) -> str:
    """How many rows were read, left out, and kept although they had to be repaired; what was guessed."""
    parts = [f"{path.name}: {len(note) + repeated} rows"]
    for kind, chosen in (("left out", note[damaged]), ("kept as repaired", note[~damaged & (note != "")])):
        counts = Counter(chosen)
        if counts:
            listed = ", ".join(f"{count} {text}" for text, count in sorted(counts.items()))
            parts.append(f"{len(chosen)} {kind} ({listed})")
    parts += (
        [f"{repeated} dropped as {'copies of others' if repeated > 1 else 'a copy of another'}"] if repeated else []
    )
    values = f"{infinite} value{'s' if infinite > 1 else ''} infinite or beyond {LARGEST_MEANT:g}, read as unknown"
    parts += [values] if infinite else []
    return ", ".join([*parts, *([f"read as {encoding}"] if encoding else [])])
