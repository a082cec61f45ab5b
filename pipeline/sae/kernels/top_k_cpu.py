"""The largest scores of rows on a CPU, without a sort of all features: a histogram, then the bin at the boundary."""

import numpy as np
from jaxtyping import Float, Int

from pipeline.sae.kernels.cpu import list_true
from pipeline.sae.kernels.jit import Array, jit

BINS, SHIFT = 2048, 20
"""A bin is a float32's exponent and its first three binary digits; in that order positive numbers rise."""


@jit
def _at_least(score: Float[Array, " d_sae"], k: int, maxima: Float[Array, " capacity"]) -> float:
    """A number that the k-th largest reaches, since k scores do: the least of the maxima of k groups of scores."""
    zero = score.dtype.type(0)
    maxima[:k] = zero
    for start in range(0, len(score) - k + 1, k):
        for place in range(k):
            maxima[place] = max(maxima[place], score[start + place])
    least = maxima[0]
    for place in range(k):
        least = min(least, maxima[place])
    return least  # type: ignore[no-any-return]


@jit
def _boundary(counts: Int[Array, " bins"], k: int) -> tuple[int, int]:
    """The bin that holds the k-th largest, and how many lie above that bin."""
    above, place = 0, len(counts) - 1
    while above + counts[place] < k:
        above += counts[place]
        place -= 1
    return place, above


@jit
def _cut(
    candidates: Float[Array, " n"], k: int, bins: Int[Array, " bins"], inside: Float[Array, " capacity"]
) -> tuple[float, int]:
    """The k-th largest of positive numbers, and how many are as large."""
    lowest, highest = candidates.min(), candidates.max()
    first = np.float32(lowest).view(np.int32) >> SHIFT
    counts = bins[: (np.float32(highest).view(np.int32) >> SHIFT) - first + 1]
    counts[:] = 0
    for score in candidates:
        counts[(np.float32(score).view(np.int32) >> SHIFT) - first] += 1
    boundary, larger = _boundary(counts, k)
    count = 0
    for score in candidates:
        if (np.float32(score).view(np.int32) >> SHIFT) - first == boundary:
            inside[count] = score
            count += 1
    ordered = np.sort(inside[:count])
    cut = ordered[count - (k - larger)]
    return cut, larger + count - np.searchsorted(ordered, cut, side="left")


@jit
def compact_top_k(
    values: Float[Array, "batch d_sae"], bias: Float[Array, " d_sae"], k: int, counts: Int[Array, " batch"],
    rows: Int[Array, " capacity"], columns: Int[Array, " capacity"], found: Float[Array, " capacity"],
    first: int, last: int,
) -> None:  # fmt: skip
    """Row, column and value of each row's k largest sums of value and bias above zero; of equal sums the first columns.

    They are written from position first * d_sae on, as `compact_above` does.
    """
    width = values.shape[1]
    score, above = np.empty(width, values.dtype), np.zeros(-(-width // 8) * 8, np.bool_)
    candidates, inside = np.empty(width, values.dtype), np.empty(width, values.dtype)
    nonzero, ignored, bins = (
        np.empty(len(above) // 8 + 1, np.int64),
        np.empty(width, np.int32),
        np.empty(BINS, np.int32),
    )
    place = first * width
    for row in range(first, last):
        for column in range(width):
            score[column] = values[row, column] + bias[column]
        least = _at_least(score, k, inside) if k <= width else values.dtype.type(0)
        for column in range(width):
            above[column] = (score[column] >= least) & (score[column] > 0)
        count = list_true(above, row, score, nonzero, 0, ignored, ignored, candidates)
        if count > k:
            cut, reached = _cut(candidates[:count], k, bins, inside)
            for column in range(width):
                above[column] = score[column] >= cut
            for column in range(width - 1, -1, -1):  # of equal scores the last are too many
                if reached == k:
                    break
                if score[column] == cut:
                    above[column] = False
                    reached -= 1
        before = place
        place = list_true(above, row, values[row], nonzero, place, rows, columns, found)
        counts[row] = place - before
