"""Pareto frontiers: of the points that compare like with like, those that no other beats in (L0, fidelity).

A point is the mean of the runs that differ by nothing but their seed: taking the front of single runs would pick the
lucky ones. L0 is averaged in its logarithm, the coordinate in which fronts are drawn and read off. A run in which no
feature fires has no such coordinate: it died, and its point is the mean of the others.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.analysis.curves import REFERENCE_FIDELITY, REFERENCE_L0, hypervolume
from pipeline.records.columns import AXES

PANEL = ("model", "site", "layer", "data.name", "evaluation.id")
"""Columns in which two runs must agree to be compared at all. The evaluation's id covers tokens, context and dtype."""
ARM = ("architecture", "d_sae")
"""What fronts in one panel differ in; at one site the width is as good as the rule that set it."""
KEY = (*PANEL, *ARM)
"""Columns that runs of one frontier share."""
TABLE_ROW = "source.row"
"""Column of a table's rows that nothing but their place tells apart: each is a point of its own."""
SETTINGS = (*AXES, "training_version", "evaluation_version", TABLE_ROW)
SETTING_PREFIXES = ("architecture.", "train.", "model.", "data.", "site.", "eval.")
"""Columns, and beginnings of columns, that tell the points of one frontier apart; the seed is not among them."""
NOT_MEASURED = {*KEY, *SETTINGS, "seed", "execution.threads"}
"""Columns whose numbers say which run it is or where it was trained: no mean of them says anything."""


def non_dominated(l0: npt.ArrayLike, loss_recovered: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which points no other point beats: as sparse and as faithful, and better in one of the two.

    Equal points do not beat each other: all of them are on the front, or none. A point without a finite L0 and loss
    recovered is never on it and beats nothing.

    Args:
        l0: mean number of active features a token; fewer is better.
        loss_recovered: as a fraction; more is better, and it may lie outside [0, 1].
    """
    x, y = np.asarray(l0, dtype=float), np.asarray(loss_recovered, dtype=float)
    front = np.zeros(x.shape, dtype=np.bool_)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if known.size:
        order = known[np.lexsort((-y[known], x[known]))]
        front[order] = _sorted_non_dominated(x[order], y[order])
    return front


def _sorted_non_dominated(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """As `non_dominated`, of points sorted by x, and by falling y where x is equal."""
    first = np.searchsorted(x, x, side="left")  # of the points with this x: the best of them
    best_so_far = np.concatenate(([-np.inf], np.maximum.accumulate(y)))
    front: npt.NDArray[np.bool_] = (y == y[first]) & (y > best_so_far[first])
    return front


def point_ids(runs: pd.DataFrame) -> npt.NDArray[np.intp]:
    """For each run the number of its point: equal for runs that share all settings but the seed."""
    settings = [name for name in map(str, runs) if name in SETTINGS or name.startswith(SETTING_PREFIXES)]
    varying = [name for name in settings if name not in KEY and runs[name].nunique(dropna=False) > 1]
    return group_ids(runs, [*KEY, *varying])


def axes_of(runs: pd.DataFrame) -> list[str]:
    """The axes that these runs have values on; lambda where they have none."""
    found = [name for name in AXES if name in runs and runs[name].notna().any()]
    varying = [name for name in found if runs[name].nunique() > 1]
    return varying or found or [AXES[0]]


def mixed_settings(runs: pd.DataFrame) -> list[str]:
    """Settings other than the axes that differ within one front: its line joins points that differ in two things."""
    names = [name for name in map(str, runs) if name.startswith(SETTING_PREFIXES) and name not in KEY]
    names = [name for name in names if name.rpartition(".")[2] not in {*AXES, "expansion"} and name not in AXES]
    keys = group_ids(runs, list(KEY))
    return [name for name in names if len(runs) and runs[name].groupby(keys).nunique().max() > 1]


def group_ids(runs: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.intp]:
    """For each row the number of its group by these columns; a gap is a value like others."""
    numbers = np.zeros(len(runs), dtype=np.intp)
    for name in columns:
        codes = pd.factorize(runs[name], use_na_sentinel=False)[0]
        numbers = pd.factorize(numbers * (codes.max(initial=0) + 1) + codes)[0]
    return numbers


def fidelity(runs: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The coordinate of fronts other than L0; more is better.

    Minus the cross-entropy added, ce_sae - ce_clean, where it is known for all points of a key, else loss recovered.
    Where ablation costs something both have the same order; where it helps, loss recovered is upside down, and where it
    hardly matters, noise.
    """
    added, recovered = _floats(runs, "ce_sae") - _floats(runs, "ce_clean"), _floats(runs, "loss_recovered")
    lacking = _fires(runs) & np.isfinite(recovered) & ~np.isfinite(added)
    by_loss = pd.Series(lacking).groupby(group_ids(runs, list(KEY))).transform("any").to_numpy(dtype=bool)
    return np.where(by_loss, recovered, -added)


def died(runs: pd.DataFrame) -> pd.Series:
    """Whether each run is finished without an SAE to speak of: its L0 is not above 0, or not a finite number."""
    return (runs["status"].eq("done") & ~_fires(runs)).astype(bool).rename("died")


def died_lines(runs: pd.DataFrame) -> list[str]:
    """A line for each run that died: what became of its point."""
    numbers, l0 = pd.Series(point_ids(runs), runs.index), pd.Series(_floats(runs, "l0"), runs.index)
    left = pd.Series(_is_point(runs), runs.index).groupby(numbers).transform("sum")
    lines = []
    for name, others, value in zip(*(column[died(runs)] for column in (runs["run"], left, l0)), strict=True):
        why = "no feature fires (L0 = 0)" if value <= 0 else "L0 is not a finite number"
        point = {0: "left out", 1: "that of the other seed"}.get(int(others), "the mean of the other seeds")
        lines.append(f"{why}: {name}; its point is {point}")
    return lines


def points(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per point, with the columns of the runs: what all its runs say, or the mean of what was measured.

    Other columns are empty where the runs differ; `run` is the first run's name, `runs` has all, `n_seeds` says how
    many. Runs that died, or without a finite L0 and fidelity, are left out.
    """
    kept = _is_point(runs)
    known, faithful = runs[kept].reset_index(drop=True), pd.Series(fidelity(runs)[kept])
    numbers = point_ids(known)
    found = _means(known, numbers)
    logs = pd.Series(np.log(as_floats(known["l0"]))).groupby(numbers)
    found["l0"] = np.where(logs.size() > 1, np.exp(logs.mean()), as_floats(found["l0"]))
    names = known["run"].astype(object).groupby(numbers)
    found = found.assign(n_seeds=names.size(), runs=names.agg(" ".join))
    means, front = faithful.groupby(numbers).mean().to_numpy(dtype=float), np.zeros(len(found), dtype=np.bool_)
    for _, rows in found.groupby(group_ids(found, list(KEY))):
        front[rows.index] = non_dominated(as_floats(rows["l0"]), means[rows.index])
    return found.assign(on_frontier=front)


def _means(known: pd.DataFrame, numbers: npt.NDArray[np.intp]) -> pd.DataFrame:
    """One row for each number, of all columns; a point's runs are numbered as they appear."""
    first = np.flatnonzero(~pd.Series(numbers).duplicated().to_numpy())
    found = known.iloc[first].reset_index(drop=True)
    if len(found) == len(known):
        return found
    for name in (str(name) for name in known if name not in {"run", "l0"}):
        values = pd.factorize(known[name], use_na_sentinel=False)[0]
        differ = np.zeros(len(found), dtype=np.bool_)
        differ[numbers[values != values[first][numbers]]] = True
        if not differ.any():
            continue
        if is_measured(known[name]):
            means = pd.Series(as_floats(known[name])).groupby(numbers).mean()
            found[name] = np.where(differ, means, as_floats(found[name]))
        else:
            found[name] = found[name].astype(object).where(~differ, None)
    return found


def is_measured(column: pd.Series) -> bool:
    """Whether it holds numbers that a mean over seeds is taken of."""
    name = str(column.name)
    number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return number and name not in NOT_MEASURED and not name.startswith(SETTING_PREFIXES)


def _is_point(runs: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return _fires(runs) & np.isfinite(fidelity(runs))


def _fires(runs: pd.DataFrame) -> npt.NDArray[np.bool_]:
    l0 = _floats(runs, "l0")
    return np.isfinite(l0) & (l0 > 0)


def _floats(runs: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    return as_floats(runs[name]) if name in runs else np.full(len(runs), np.nan)


def on_frontier(runs: pd.DataFrame) -> pd.Series:
    """Whether each run's point is on the frontier of its key; False for a dominated one, and for one not finished."""
    found = points(runs)
    names = {name for joined in found.loc[found["on_frontier"], "runs"] for name in joined.split(" ")}
    return runs["run"].isin(names).rename("on_frontier")


def frontier(runs: pd.DataFrame) -> pd.DataFrame:
    """The non-dominated points, by key, then from sparse to dense; as `points`."""
    found = points(runs)
    return found[found["on_frontier"]].sort_values([*KEY, "l0", "run"]).reset_index(drop=True)


def frontiers(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per key: number of points and of dominated ones, what is failed or missing, range and hypervolume."""
    found = points(runs)
    key_of = dict(zip(runs["run"], group_ids(runs, list(KEY)), strict=True))
    keys = found["run"].map(key_of)
    rows = [
        _frontier_row(declared, found[keys == number]) for number, declared in runs.groupby(runs["run"].map(key_of))
    ]
    return pd.DataFrame(rows)


def _frontier_row(declared: pd.DataFrame, found: pd.DataFrame) -> dict[str, object]:
    front = found[found["on_frontier"]]
    l0, recovered = as_floats(front["l0"]), _floats(front, "loss_recovered")
    return {
        **{name: declared[name].iloc[0] for name in KEY}, "runs": len(declared), "points": len(found),
        "dominated": len(found) - len(front), "died": int(died(declared).sum()),
        **{name: int((declared["status"] == name).sum()) for name in ("failed", "missing")},
        **{f"l0_{end}": value for end, value in zip(("low", "high"), _range(l0), strict=True)},
        **{f"loss_recovered_{end}": value for end, value in zip(("low", "high"), _range(recovered), strict=True)},
        "hypervolume": _hypervolume(front), "reference_l0": REFERENCE_L0,
        "reference_loss_recovered": REFERENCE_FIDELITY,
    }  # fmt: skip


def _hypervolume(front: pd.DataFrame) -> float:
    """NaN where loss recovered orders nothing: somewhere unknown, or with ablation that helps."""
    recovered, gap = _floats(front, "loss_recovered"), _floats(front, "ce_zero") - _floats(front, "ce_clean")
    if not np.isfinite(recovered).all() or (gap <= 0).any():
        return np.nan
    return hypervolume(as_floats(front["l0"]), recovered)


def _range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)


def as_floats(column: pd.Series) -> npt.NDArray[np.float64]:
    """A column as numbers, NaN where there is none."""
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
