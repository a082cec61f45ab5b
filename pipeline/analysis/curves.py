"""Fronts as curves: a line from one non-dominated point to the next in (log L0, fidelity), many replicates at once.

Fidelity is loss recovered, or minus a difference of cross-entropies: more is better. Along a front both coordinates
rise strictly, so that the curve can be read either way; outside its points it has no value and is never extended.
Arrays have one row per replicate; the point estimate is a single row.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

REFERENCE_L0 = 1000.0
REFERENCE_FIDELITY = 0.0
"""The hypervolume's reference point: a thousand active features, and what ablating the site would give."""


def fronts(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The non-dominated points of every row, from sparse to dense, equal points once.

    Args:
        x: [replicates, points] log L0, fewer is better; a point that is not finite in both counts as absent.
        y: [replicates, points] fidelity, more is better.

    Returns:
        Both with the same shape. The place of a dominated point holds the one before it on the front; a row begins
        with NaN (only) where it has no point at all.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, np.inf), np.where(known, y, -np.inf)
    order = np.lexsort((-y, x), axis=1)
    x, y = np.take_along_axis(x, order, 1), np.take_along_axis(y, order, 1)
    best = np.maximum.accumulate(y, axis=1)
    before = np.concatenate((np.full((len(y), 1), -np.inf), best[:, :-1]), axis=1)
    last = np.maximum.accumulate(np.where(y > before, np.arange(y.shape[1]), 0), axis=1)
    x, y = np.take_along_axis(x, last, 1), np.take_along_axis(y, last, 1)
    none = ~known.any(1, keepdims=True)
    return np.where(none, np.nan, x), np.where(none, np.nan, y)


def interpolate(known: Floats, other: Floats, at: Floats, slopes: tuple[float, float] | None = None) -> Floats:
    """One coordinate of each row's front where the other has the values `at`, by linear interpolation.

    Args:
        known, other: [replicates, points] the two coordinates, as `fronts` gives them.
        at: [values] places on the first coordinate, the same for every row.
        slopes: slopes of the front before its first point and after its last; None: it ends there.

    Returns:
        [replicates, values]; NaN outside the row's front, unless it goes on, and where a row has no point.
    """
    points = known.shape[1]
    if not points:
        return np.full((len(known), len(at)), np.nan)
    # the last node at or left of each place, counted through all rows; then the way from it to the next
    nodes = np.maximum(_nodes_passed(known, at) - 1, 0) + points * np.arange(len(known))[:, None]
    width, height = (np.diff(values, append=values[:, -1:]) for values in (known, other))
    x0, y0, rise, run = (of.ravel().take(nodes) for of in (known, other, height, np.where(width > 0, width, 1.0)))
    values: Floats = y0 + rise * (at - x0) / run
    before, after = (np.nan, np.nan) if slopes is None else slopes
    for beyond, end, slope in ((at < known[:, :1], 0, before), (at > known[:, -1:], -1, after)):
        row, place = np.nonzero(beyond)
        values[row, place] = other[row, end] + slope * (at[place] - known[row, end])
    return values


def _nodes_passed(known: Floats, at: Floats) -> npt.NDArray[np.intp]:
    """[replicates, values] how many of a row's nodes lie at or left of each place."""
    order = np.argsort(at, kind="stable")
    first = np.searchsorted(at[order], known)  # of the sorted places, the first that is not left of the node
    columns = len(at) + 1
    cells = first + columns * np.arange(len(known))[:, None]
    counts = np.bincount(cells.ravel(), minlength=columns * len(known)).reshape(len(known), columns)
    passed = np.empty((len(known), len(at)), dtype=np.intp)
    passed[:, order] = counts[:, :-1].cumsum(1)
    return passed


def as_ratio(logs: npt.ArrayLike) -> Floats:
    """From logarithms; the end of an interval that is wider than a factor of a million is infinite."""
    ends = np.asarray(logs, dtype=float)
    ratios: Floats = np.where(ends > np.log(1e6), np.inf, np.exp(np.minimum(ends, np.log(1e6))))
    return ratios


def overlap(first: Floats, second: Floats) -> tuple[float, float] | None:
    """The interval on which both fronts (single rows of one coordinate) have values, or one value; None without any."""
    if not first.size or not second.size or np.isnan(first[0, 0]) or np.isnan(second[0, 0]):
        return None
    low, high = max(first[0, 0], second[0, 0]), min(first[0, -1], second[0, -1])
    return (float(low), float(high)) if low <= high else None


def hypervolume(l0: Floats, fidelity: Floats) -> float:
    """The area that a front dominates, in decades of L0 times fidelity, against the reference point.

    Points that are no better than the reference in both coordinates add nothing.
    """
    with np.errstate(divide="ignore"):
        x = np.log10(np.asarray(l0, dtype=float)[None])
    x, y = fronts(x, np.asarray(fidelity, dtype=float)[None])
    if not x.size or np.isnan(x[0, 0]):
        return 0.0
    better = (x[0] < np.log10(REFERENCE_L0)) & (y[0] > REFERENCE_FIDELITY)
    steps = np.diff(y[0][better], prepend=REFERENCE_FIDELITY)
    return float((steps * (np.log10(REFERENCE_L0) - x[0][better])).sum())
