"""Pareto frontiers: of the points that compare like with like, those that no other beats in (L0, loss recovered).

A point is the mean of the runs that differ by nothing but their seed: taking the front of single runs would pick the
lucky ones. L0 is averaged in its logarithm, the coordinate in which fronts are drawn and read off.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.columns import AXES
from pipeline.curves import REFERENCE_FIDELITY, REFERENCE_L0, hypervolume

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
AVERAGED = (
    "loss_recovered", "loss_recovered_mean_ablation", "ce_clean", "ce_sae", "ce_zero", "ce_mean", "gamma",
    "dead_fraction", "alive_fraction", "fvu", "training_seconds",
)  # fmt: skip


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


def point_numbers(runs: pd.DataFrame) -> npt.NDArray[np.intp]:
    """For each run the number of its point: equal for runs that share all settings but the seed."""
    settings = [name for name in map(str, runs) if name in SETTINGS or name.startswith(SETTING_PREFIXES)]
    varying = [name for name in settings if name not in KEY and runs[name].nunique(dropna=False) > 1]
    return numbered(runs, [*KEY, *varying])


def axes_of(runs: pd.DataFrame) -> list[str]:
    """The axes that these runs have values on; lambda where they have none."""
    found = [name for name in AXES if name in runs and runs[name].notna().any()]
    varying = [name for name in found if runs[name].nunique() > 1]
    return varying or found or [AXES[0]]


def numbered(runs: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.intp]:
    """For each row the number of its group by these columns; a gap is a value like others."""
    numbers = np.zeros(len(runs), dtype=np.intp)
    for name in columns:
        codes = pd.factorize(runs[name], use_na_sentinel=False)[0]
        numbers = pd.factorize(numbers * (codes.max(initial=0) + 1) + codes)[0]
    return numbers


def points(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a point, with the columns of the runs: means where something was measured, else the first run's.

    Runs without a finite L0 and loss recovered are left out. `n_seeds` says how many runs a point is the mean of, and
    `runs` names them; a point with a run in which no feature fires has L0 = 0.
    """
    known = runs[np.isfinite(as_floats(runs["l0"])) & np.isfinite(as_floats(runs["loss_recovered"]))]
    numbers = point_numbers(known)
    found = known[~pd.Series(numbers).duplicated().to_numpy()].reset_index(drop=True)  # numbered as they appear
    with np.errstate(divide="ignore"):
        logs = pd.Series(np.log(as_floats(known["l0"]))).groupby(numbers)
        found["l0"] = np.where(logs.size() > 1, np.exp(logs.mean()), as_floats(found["l0"]))
    for name in AVERAGED:
        if name in known:
            found[name] = pd.Series(as_floats(known[name])).groupby(numbers).mean()
    names = known["run"].astype(object).reset_index(drop=True).groupby(numbers)
    found = found.assign(n_seeds=names.size(), runs=names.agg(" ".join))
    front = np.zeros(len(found), dtype=np.bool_)
    for _, rows in found.groupby(numbered(found, list(KEY))):
        front[rows.index] = non_dominated(as_floats(rows["l0"]), as_floats(rows["loss_recovered"]))
    return found.assign(on_frontier=front)


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
    """One row a key: how many points, how many of them dominated, what is failed or missing, range and hypervolume."""
    found = points(runs)
    key_of = dict(zip(runs["run"], numbered(runs, list(KEY)), strict=True))
    keys = found["run"].map(key_of)
    rows = [
        _frontier_row(declared, found[keys == number]) for number, declared in runs.groupby(runs["run"].map(key_of))
    ]
    return pd.DataFrame(rows)


def _frontier_row(declared: pd.DataFrame, found: pd.DataFrame) -> dict[str, object]:
    front = found[found["on_frontier"]]
    l0, recovered = as_floats(front["l0"]), as_floats(front["loss_recovered"])
    return {
        **{name: declared[name].iloc[0] for name in KEY}, "runs": len(declared), "points": len(found),
        "dominated": len(found) - len(front),
        **{name: int((declared["status"] == name).sum()) for name in ("failed", "missing")},
        **{f"l0_{end}": value for end, value in zip(("low", "high"), _range(l0), strict=True)},
        **{f"loss_recovered_{end}": value for end, value in zip(("low", "high"), _range(recovered), strict=True)},
        "hypervolume": hypervolume(l0, recovered), "reference_l0": REFERENCE_L0,
        "reference_loss_recovered": REFERENCE_FIDELITY,
    }  # fmt: skip


def _range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)


def as_floats(column: pd.Series) -> npt.NDArray[np.float64]:
    """A column as numbers, NaN where there is none."""
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def died(runs: pd.DataFrame) -> pd.Series:
    """Whether each run is done, and no feature of it fires."""
    l0 = as_floats(runs["l0"])
    return (runs["status"].eq("done") & ~(l0 > 0)).rename("died")


def died_lines(runs: pd.DataFrame) -> list[str]:
    """A line for each run that died."""
    return [f"no feature fires: {run}" for run in runs.loc[died(runs), "run"]]
