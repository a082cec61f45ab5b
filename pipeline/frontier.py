"""Pareto frontiers: of the runs that compare like with like, those that no other run beats in (L0, loss recovered)."""

import numpy as np
import numpy.typing as npt
import pandas as pd

KEY = ("model", "site", "layer", "architecture", "architecture.expansion", "data.name", "evaluation.id")
"""Columns that runs of one frontier share. Expansion is the width rule; the evaluation's id covers tokens and dtype."""


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


def on_frontier(runs: pd.DataFrame) -> pd.Series:
    """Whether each run is on the frontier of its key; one row a run, with the columns of KEY, l0, loss_recovered."""
    front = np.zeros(len(runs), dtype=np.bool_)
    numbered = runs[[*KEY, "l0", "loss_recovered"]].reset_index(drop=True)
    for _, rows in numbered.groupby(list(KEY), dropna=False, sort=False):
        front[rows.index] = non_dominated(as_floats(rows["l0"]), as_floats(rows["loss_recovered"]))
    return pd.Series(front, index=runs.index, name="on_frontier")


def frontier(runs: pd.DataFrame) -> pd.DataFrame:
    """The non-dominated runs, by key, then from sparse to dense."""
    return runs[on_frontier(runs)].sort_values([*KEY, "l0", "run"]).reset_index(drop=True)


def as_floats(column: pd.Series) -> npt.NDArray[np.float64]:
    """A column as numbers, NaN where there is none."""
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
