"""Points from a CSV instead of records: the paper's own tables (docs/gated_paper_tables.csv), or anyone's."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.aggregate import table
from pipeline.errors import UserError
from pipeline.frontier import PANEL
from pipeline.places import PAPER_TABLE

NAMES = {
    "arch": "architecture", "lam": "sparsity_coefficient", "lambda": "sparsity_coefficient", "lr": "train.lr",
    "width": "d_sae", "alive": "alive_fraction",
}  # fmt: skip
"""The paper's column names, and ours; ours are understood as they are."""
PAPER_MODELS = ("gemma-7b", "pythia-2.8b")
SITES = {"resid": "resid_post", "mlp": "mlp_out", "attn": "attn_z"}
"""The paper's words for sites, and ours."""
NEEDED = ("architecture", "model", "site", "layer", "d_sae", "l0", "loss_recovered")
NUMBERS = (
    "layer", "d_in", "d_sae", "sparsity_coefficient", "seed", "l0", "loss_recovered", "loss_recovered_mean_ablation",
    "ce_clean", "ce_sae", "ce_zero", "ce_mean", "gamma", "alive_fraction", "dead_fraction", "fvu", "train.lr",
)  # fmt: skip
WHOLE = {"layer", "d_in", "d_sae", "seed"}
REPAIRED = {"realigned", "CE_swapped_back"}
"""Notes on rows that were read amiss and put right (they satisfy equation 5 again). A row with any other note is left
out: a negative L0, or values that may belong to another row. So is a row with a negative L0."""
COMPUTED = ("on_frontier", "delta_ce", "_low", "_high")
"""Columns, and ends of columns, that aggregation adds: a runs.csv can be a source again."""


@dataclass(frozen=True)
class Source:
    """Points as a table of runs, and a line on the rows that a note flags."""

    name: str
    runs: pd.DataFrame
    line: str


def read_source(path: Path) -> Source:
    """Read a CSV whose columns have the paper's names or ours.

    Raises:
        UserError: the file is absent or no CSV, a needed column is missing or doubled, or a number is none.
    """
    rows = _named(_read(path), path)
    note = rows.pop("note").fillna("").astype(str) if "note" in rows else pd.Series("", index=rows.index)
    for name in NUMBERS:
        if name in rows:
            rows[name] = _numbers(rows[name], name, path)
    damaged = (~note.isin(["", *REPAIRED])) | (rows["l0"] < 0)
    return Source(path.stem, _runs(rows[~damaged], path.stem), _line(path, note, damaged))


def paper_points(runs: pd.DataFrame) -> pd.DataFrame:
    """The paper's points for every panel of these runs that is of one of its models, sites and layers."""
    panels = runs[list(PANEL)].drop_duplicates()
    bare = panels["model"].astype(str).str.partition("@")[0].str.rpartition("/")[2].str.lower()
    panels = panels.assign(published=bare)[bare.isin(PAPER_MODELS)]
    if panels.empty:
        return runs.iloc[:0]
    points = read_source(PAPER_TABLE).runs.rename(columns={"model": "published"})
    own = [name for name in PANEL if name not in {"model", "site", "layer"}]
    beside = panels.merge(points.drop(columns=own), on=["published", "site", "layer"])
    return beside.drop(columns="published").assign(sweep=runs["sweep"].iloc[0])


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=object)
    except FileNotFoundError as error:
        raise UserError(f"source={path} is not there: a CSV with a row a trained SAE is wanted") from error
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"source={path} is no CSV ({reason})") from error


def _named(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows under our names, without what aggregation computes itself."""
    names = [NAMES.get(name, name) for name in map(str, rows.columns)]
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise UserError(f"source={path} has two columns for {doubled[0]}")
    lacking = [name for name in NEEDED if name not in names]
    if lacking:
        theirs = [paper for paper, ours in NAMES.items() if ours == lacking[0]]
        raise UserError(
            f"source={path} has no column {' or '.join([lacking[0], *theirs])}: {', '.join(NEEDED)} are needed"
        )
    named = rows.set_axis(names, axis=1)
    return named[[name for name in names if not name.endswith(COMPUTED)]].assign(site=named["site"].replace(SITES))


def _numbers(column: "pd.Series[Any]", name: str, path: Path) -> "pd.Series[Any]":
    found = pd.to_numeric(column, errors="coerce")
    wrong = column[found.isna() & column.notna()]
    if name in WHOLE:
        wrong = pd.concat([wrong, column[found.notna() & (found % 1 != 0)]])
    if len(wrong):
        kind = "a whole number" if name in WHOLE else "a number"
        raise UserError(f"source={path}, line {wrong.index[0] + 2}: {name}={wrong.iloc[0]} is not {kind}")
    return found


def _runs(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table that `pipeline.aggregate` would have made, of rows that are all finished unless they say otherwise."""
    filled: list[dict[str, Any]] = []
    for index, row in zip(rows.index, rows.to_dict("records"), strict=True):
        known: dict[str, Any] = {
            str(key): int(value) if key in WHOLE else value for key, value in row.items() if pd.notna(value)
        }
        given = {"run": f"{name}-line-{index + 2}", "status": "done", "data.name": name, "evaluation.id": name}
        filled.append(given | known | {"sweep": name})
        if "alive_fraction" in known:
            filled[-1].setdefault("dead_fraction", 1 - known["alive_fraction"])
    return table(filled)


def _line(path: Path, note: "pd.Series[str]", damaged: "pd.Series[bool]") -> str:
    """How many rows were read, left out, and kept although they had to be repaired."""
    parts = [f"{path.name}: {len(note)} rows"]
    for kind, chosen in (("left out", note[damaged]), ("kept as repaired", note[~damaged & (note != "")])):
        counts = Counter(text or "negative L0" for text in chosen)
        if counts:
            listed = ", ".join(f"{count} {text}" for text, count in sorted(counts.items()))
            parts.append(f"{len(chosen)} {kind} ({listed})")
    return ", ".join(parts)
