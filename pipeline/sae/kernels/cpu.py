"""Loops over pairs of input and feature, on a CPU: find them, order them, sum over them."""

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.sae.kernels.jit import Array, exact, summing

ONE, TO_TOP_BITS = np.uint64(1), np.uint64(61)
BYTE_NUMBERS = np.uint64(sum(byte << (61 - 8 * byte) for byte in range(8)))
"""Multiplied by 2 ** (8 * byte) it has the byte's number, 0 to 7, in its three highest bits."""


@exact
def list_above(
    values: Float[Array, "batch d_sae"], threshold: Float[Array, " d_sae"], most: int, counts: Int[Array, " batch"],
    rows: Int[Array, " places"], columns: Int[Array, " places"], listed: Float[Array, " places"], first: int, last: int,
) -> None:  # fmt: skip
    """Row, column and value of all that exceeds its column's threshold, and how many in each row.

    What is found is listed from the place first * d_sae on; after the row in which it comes to `most` no more is looked
    for. A row is compared as a whole, and eight findings are looked at together, as bytes of one number. Which of the
    numbers are not zero is listed without a branch: a processor would mispredict it at most of them.
    """
    width = values.shape[1]
    above = np.zeros(-(-width // 8) * 8, np.bool_)
    eights = above.view(np.uint64)
    found = np.empty(len(eights) + 1, np.int64)
    begin = place = first * width
    for row in range(first, last):
        for column in range(width):
            above[column] = values[row, column] > threshold[column]
        before, count = place, 0
        for eight in range(len(eights)):
            found[count] = eight
            count += eights[eight] != 0
        for eight in found[:count]:
            left = eights[eight]
            while left:
                rest = left & (left - ONE)
                column = 8 * eight + np.int64(((left ^ rest) * BYTE_NUMBERS) >> TO_TOP_BITS)
                rows[place], columns[place], listed[place] = row, column, values[row, column]
                place += 1
                left = rest
        counts[row] = place - before
        if place - begin >= most:
            break


@exact
def order_by_column(
    rows: Int[Array, " pairs"], columns: Int[Array, " pairs"], starts: Int[Array, " d_sae+1"],
    order: Int[Array, " pairs"], rows_in_order: Int[Array, " pairs"],
) -> None:  # fmt: skip
    """Where each column's pairs begin, and the pairs column by column, equal ones as they stood; a counting sort."""
    starts[:] = 0
    for column in columns:
        starts[column + 1] += 1
    for column in range(len(starts) - 1):
        starts[column + 1] += starts[column]
    free = starts[:-1].copy()
    for pair, column in enumerate(columns):
        order[free[column]], rows_in_order[free[column]] = pair, rows[pair]
        free[column] += 1


@summing
def add_weighted(
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
    if pair + 2 <= last:
        a, b, row_a, row_b = weights[pair], weights[pair + 1], table[index[pair]], table[index[pair + 1]]
        for column in range(len(total)):
            total[column] += a * row_a[column] + b * row_b[column]
        pair += 2
    if pair < last:
        weight, row = weights[pair], table[index[pair]]
        for column in range(len(total)):
            total[column] += weight * row[column]


@summing
def weighted_rows(
    starts: Int[Array, " groups+1"], index: Int[Array, " pairs"], weights: Float[Array, " pairs"],
    table: Float[Array, "n d"], out: Float[Array, "groups d"], first: int, last: int,
) -> None:  # fmt: skip
    """out[g] = the sum of weights[k] * table[index[k]] over the pairs k of group g."""
    for group in range(first, last):
        out[group] = 0
        add_weighted(out[group], index, weights, table, starts[group], starts[group + 1])


@summing
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
        add_weighted(off, columns, values, table, starts[row], starts[row + 1])
        for pair in range(starts[row], starts[row + 1]):
            vector = table[columns[pair]]
            total = vector.dtype.type(0)
            for place in range(len(off)):
                total += vector[place] * off[place]
            products[pair] = scale * total


@summing
def _add_both(
    first_total: Float[Array, " d"], second_total: Float[Array, " d"], index: Int[Array, " pairs"],
    first_weights: Float[Array, " pairs"], second_weights: Float[Array, " pairs"], table: Float[Array, "n d"],
    first: int, last: int,
) -> None:  # fmt: skip
    """As `add_weighted` with either weights; each row is read once."""
    pair = first
    while pair + 4 <= last:
        a, b, c, d = first_weights[pair], first_weights[pair + 1], first_weights[pair + 2], first_weights[pair + 3]
        e, f, g, h = second_weights[pair], second_weights[pair + 1], second_weights[pair + 2], second_weights[pair + 3]
        row_a, row_b, row_c, row_d = (
            table[index[pair]], table[index[pair + 1]], table[index[pair + 2]], table[index[pair + 3]],
        )  # fmt: skip
        for column in range(len(first_total)):
            p, q, r, s = row_a[column], row_b[column], row_c[column], row_d[column]
            first_total[column] += a * p + b * q + c * r + d * s
            second_total[column] += e * p + f * q + g * r + h * s
        pair += 4
    while pair < last:
        row = table[index[pair]]
        for column in range(len(first_total)):
            first_total[column] += first_weights[pair] * row[column]
            second_total[column] += second_weights[pair] * row[column]
        pair += 1


@summing
def reconstruct_both(
    starts: Int[Array, " batch+1"], columns: Int[Array, " pairs"], first_values: Float[Array, " pairs"],
    second_values: Float[Array, " pairs"], table: Float[Array, "d_sae d"], x: Float[Array, "batch d"], scale: float,
    first_error: Float[Array, "batch d"], second_error: Float[Array, "batch d"],
    first_products: Float[Array, " pairs"], second_products: Float[Array, " pairs"], first: int, last: int,
) -> None:  # fmt: skip
    """As `reconstruct` of either values."""
    for row in range(first, last):
        one, other, target = first_error[row], second_error[row], x[row]
        for place in range(len(one)):
            one[place] = -target[place]
            other[place] = -target[place]
        _add_both(one, other, columns, first_values, second_values, table, starts[row], starts[row + 1])
        for pair in range(starts[row], starts[row + 1]):
            vector = table[columns[pair]]
            first_total, second_total = vector.dtype.type(0), vector.dtype.type(0)
            for place in range(len(one)):
                first_total += vector[place] * one[place]
                second_total += vector[place] * other[place]
            first_products[pair] = scale * first_total
            second_products[pair] = scale * second_total


@exact
def sums_by_column(columns: Int[Array, " pairs"], values: Float[Array, " pairs"], out: Float[Array, " d_sae"]) -> None:
    out[:] = 0
    for pair, column in enumerate(columns):
        out[column] += values[pair]


@exact
def positive_by_column(
    columns: Int[Array, " pairs"], values: Float[Array, " pairs"], out: Bool[Array, " d_sae"]
) -> None:
    """Whether a column has a value above zero."""
    out[:] = False
    for pair, column in enumerate(columns):
        if values[pair] > 0:
            out[column] = True
