"""Loops of the training step on a CPU, compiled by Numba: over rows of a batch, over features, over pairs of both.

Each number is summed by one thread in an order of its own, so that no bit depends on how a loop is split over threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

Array = np.ndarray

SPLIT_FROM = 4_000_000
"""Multiplications, some 0.1 ms or more, below which a second thread gains less than it costs to wake it."""


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Machine code without Python's lock, kept beside this file or in the user's cache where either can be written."""

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(nogil=True, error_model="numpy", cache=True, **options)(function)
        except RuntimeError:  # no folder can be written
            return numba.njit(nogil=True, error_model="numpy", **options)(function)

    return compile_


ONE, TO_TOP_BITS = np.uint64(1), np.uint64(61)
BYTE_NUMBERS = np.uint64(sum(byte << (61 - 8 * byte) for byte in range(8)))
"""Multiplied by 2 ** (8 * byte) it has the byte's number, 0 to 7, in its three highest bits."""

_exact = _compiled()
_summing = _compiled(fastmath={"contract", "reassoc", "nsz"})  # sums of vectors' elements in any fixed order


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def split(loop: Callable[..., None], arguments: tuple[Any, ...], groups: int | Array, work: float) -> None:
    """Call loop(*arguments, first, last) over ranges that cover all groups, in parallel where the work is worth it.

    Args:
        groups: how many, each as much work as another; or where each one's pairs start, and the last's end.
        work: multiplications, or what takes as long.
    """
    count = groups if isinstance(groups, int) else len(groups) - 1
    threads = torch.get_num_threads() if work >= SPLIT_FROM else 1
    if threads == 1:
        loop(*arguments, 0, count)
        return
    own, *others = pairwise(_cuts(groups, count, threads))
    given = [_pool(threads - 1).submit(loop, *arguments, *bounds) for bounds in others]
    loop(*arguments, *own)
    for part in given:
        part.result()


def _cuts(groups: int | Array, count: int, threads: int) -> list[int]:
    """Bounds of as many ranges as threads, each with as many groups or pairs."""
    if isinstance(groups, int):
        return [count * part // threads for part in range(threads + 1)]
    inner = np.searchsorted(groups, [groups[-1] * part // threads for part in range(1, threads)])
    return [0, *inner.tolist(), count]


@_exact
def mark(
    values: Float[Array, "batch d_sae"], threshold: Float[Array, " d_sae"], marked: Bool[Array, "batch d_sae"],
    counts: Int[Array, " batch"], first: int, last: int,
) -> None:  # fmt: skip
    """Which values exceed their column's threshold, and how many in each row."""
    for row in range(first, last):
        count = 0
        for column in range(values.shape[1]):
            above = values[row, column] > threshold[column]
            marked[row, column] = above
            count += above
        counts[row] = count


@_exact
def list_marked(
    marked: Bool[Array, "batch d_sae"], values: Float[Array, "batch d_sae"], starts: Int[Array, " batch+1"],
    rows: Int[Array, " pairs"], columns: Int[Array, " pairs"], listed: Float[Array, " pairs"], first: int, last: int,
) -> None:  # fmt: skip
    """Row, column and value of each mark, row by row; eight marks are looked at together, as bytes of one number."""
    width = values.shape[1]
    whole = width // 8 * 8
    for row in range(first, last):
        place = starts[row]
        eights = marked[row, :whole].view(np.uint64)
        for eight in range(len(eights)):
            left = eights[eight]
            while left:
                rest = left & (left - ONE)
                found = 8 * eight + np.int64(((left ^ rest) * BYTE_NUMBERS) >> TO_TOP_BITS)
                rows[place], columns[place], listed[place] = row, found, values[row, found]
                place += 1
                left = rest
        for column in range(whole, width):
            if marked[row, column]:
                rows[place], columns[place], listed[place] = row, column, values[row, column]
                place += 1


@_exact
def order_by_column(
    columns: Int[Array, " pairs"], starts: Int[Array, " d_sae+1"], order: Int[Array, " pairs"]
) -> None:  # fmt: skip
    """Where each column's pairs begin, and the pairs column by column, equal ones as they stood; a counting sort."""
    starts[:] = 0
    for column in columns:
        starts[column + 1] += 1
    for column in range(len(starts) - 1):
        starts[column + 1] += starts[column]
    free = starts[:-1].copy()
    for pair, column in enumerate(columns):
        order[free[column]] = pair
        free[column] += 1


@_summing
def _add_weighted(
    total: Float[Array, " d"], index: Int[Array, " pairs"], weights: Float[Array, " pairs"], table: Float[Array, "n d"],
    first: int, last: int,
) -> None:  # fmt: skip
    """total += the sum of weights[k] * table[index[k]], four rows at a time."""
    pair = first
    while pair + 4 <= last:
        a, b, c, d = weights[pair], weights[pair + 1], weights[pair + 2], weights[pair + 3]
        row_a, row_b, row_c, row_d = (
            table[index[pair]], table[index[pair + 1]], table[index[pair + 2]], table[index[pair + 3]],
        )  # fmt: skip
        for column in range(len(total)):
            total[column] += a * row_a[column] + b * row_b[column] + c * row_c[column] + d * row_d[column]
        pair += 4
    while pair < last:
        weight, row = weights[pair], table[index[pair]]
        for column in range(len(total)):
            total[column] += weight * row[column]
        pair += 1


@_summing
def weighted_rows(
    starts: Int[Array, " groups+1"], index: Int[Array, " pairs"], weights: Float[Array, " pairs"],
    table: Float[Array, "n d"], out: Float[Array, "groups d"], first: int, last: int,
) -> None:  # fmt: skip
    """out[g] = the sum of weights[k] * table[index[k]] over the pairs k of group g."""
    for group in range(first, last):
        out[group] = 0
        _add_weighted(out[group], index, weights, table, starts[group], starts[group + 1])


@_summing
def reconstruct(
    starts: Int[Array, " batch+1"], columns: Int[Array, " pairs"], values: Float[Array, " pairs"],
    table: Float[Array, "d_sae d"], x: Float[Array, "batch d"], scale: float, error: Float[Array, "batch d"],
    products: Float[Array, " pairs"], first: int, last: int,
) -> None:  # fmt: skip
    """error = values . table - x, and scale * error . table^T at the pairs: vectors serve both while at hand."""
    for row in range(first, last):
        off, target = error[row], x[row]
        for place in range(len(off)):
            off[place] = -target[place]
        _add_weighted(off, columns, values, table, starts[row], starts[row + 1])
        for pair in range(starts[row], starts[row + 1]):
            vector = table[columns[pair]]
            total = vector.dtype.type(0)
            for place in range(len(off)):
                total += vector[place] * off[place]
            products[pair] = scale * total


@_exact
def sums_by_column(columns: Int[Array, " pairs"], values: Float[Array, " pairs"], out: Float[Array, " d_sae"]) -> None:
    out[:] = 0
    for pair, column in enumerate(columns):
        out[column] += values[pair]


@_exact
def positive_by_column(
    columns: Int[Array, " pairs"], values: Float[Array, " pairs"], out: Bool[Array, " d_sae"]
) -> None:
    """Whether a column has a value above zero."""
    out[:] = False
    for pair, column in enumerate(columns):
        if values[pair] > 0:
            out[column] = True


@_summing
def adam(
    parameter: Float[Array, "rows d"], gradient: Float[Array, "rows d"], mean: Float[Array, "rows d"],
    square: Float[Array, "rows d"], step_size: float, beta1: float, beta2: float, root: float, epsilon: float,
    averaged: bool, unit: bool, first: int, last: int,
) -> None:  # fmt: skip
    """Adam's step (Kingma and Ba, algorithm 1) with its bias corrections in step_size and root.

    Without `averaged`, beta1 is 0: the mean is the gradient, and nothing is kept. Where `unit`, rows stay on the unit
    sphere: what of the gradient lies along its row is taken out of it, and the row is renormalised afterwards.
    """
    zero, one = parameter.dtype.type(0), parameter.dtype.type(1)
    for index in range(first, last):
        row, slope, second_moment = parameter[index], gradient[index], square[index]
        direction = mean[index] if averaged else slope
        if unit:
            along = zero
            for place in range(len(row)):
                along += slope[place] * row[place]
            for place in range(len(row)):
                slope[place] -= along * row[place]
        if averaged:
            for place in range(len(row)):
                direction[place] = beta1 * direction[place] + (one - beta1) * slope[place]
        for place in range(len(row)):
            second_moment[place] = beta2 * second_moment[place] + (one - beta2) * slope[place] * slope[place]
        for place in range(len(row)):
            row[place] -= step_size * direction[place] / (np.sqrt(second_moment[place]) * root + epsilon)
        if unit:
            square_norm = zero
            for place in range(len(row)):
                square_norm += row[place] * row[place]
            shrink = one / np.sqrt(square_norm)
            for place in range(len(row)):
                row[place] *= shrink
