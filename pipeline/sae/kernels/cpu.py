"""Loops over the active entries of codes, on a CPU: find, sort and sum them."""

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.sae.kernels.jit import Array, jit, jit_reassociating

ONE, TO_TOP_BITS = np.uint64(1), np.uint64(61)
BYTE_NUMBERS = np.uint64(sum(byte << (61 - 8 * byte) for byte in range(8)))
"""Multiplied by 2 ** (8 * byte) it has the byte's number, 0 to 7, in its three highest bits."""


@jit
def list_true(
    chosen: Bool[Array, " padded"], row: int, values: Float[Array, " d_sae"], nonzero: Int[Array, " capacity"],
    place: int, rows: Int[Array, " capacity"], columns: Int[Array, " capacity"], found: Float[Array, " capacity"],
) -> int:  # fmt: skip
    """Row, column and value of what is chosen in a row, written from `place` on; returns the next free place.

    Eight results are tested at a time, as bytes of one number. The numbers that are not zero are listed without a
    branch, which a processor would mispredict most of the time.
    """
    eights, count = chosen.view(np.uint64), 0
    for eight in range(len(eights)):
        nonzero[count] = eight
        count += eights[eight] != 0
    for eight in nonzero[:count]:
        left = eights[eight]
        while left:
            rest = left & (left - ONE)
            column = 8 * eight + np.int64(((left ^ rest) * BYTE_NUMBERS) >> TO_TOP_BITS)
            rows[place], columns[place], found[place] = row, column, values[column]
            place += 1
            left = rest
    return place


@jit
def compact_above(
    values: Float[Array, "batch d_sae"], threshold: Float[Array, " d_sae"], most: int, counts: Int[Array, " batch"],
    rows: Int[Array, " capacity"], columns: Int[Array, " capacity"], found: Float[Array, " capacity"],
    first: int, last: int,
) -> None:  # fmt: skip
    """Row, column and value of all that exceeds its column's threshold, and their number per row.

    They are written from position first * d_sae on. The search ends after the row in which it has found `most`. Each
    row is compared as a whole.
    """
    width = values.shape[1]
    above = np.zeros(-(-width // 8) * 8, np.bool_)
    nonzero = np.empty(len(above) // 8 + 1, np.int64)
    begin = place = first * width
    for row in range(first, last):
        for column in range(width):
            above[column] = values[row, column] > threshold[column]
        before = place
        place = list_true(above, row, values[row], nonzero, place, rows, columns, found)
        counts[row] = place - before
        if place - begin >= most:
            break


@jit
def csr_to_csc(
    rows: Int[Array, " nnz"], columns: Int[Array, " nnz"], starts: Int[Array, " d_sae+1"],
    order: Int[Array, " nnz"], rows_in_order: Int[Array, " nnz"],
) -> None:  # fmt: skip
    """From compressed rows to columns: each column's first entry, and the entries' stable order; a counting sort."""
    starts[:] = 0
    for column in columns:
        starts[column + 1] += 1
    for column in range(len(starts) - 1):
        starts[column + 1] += starts[column]
    free = starts[:-1].copy()
    for k, column in enumerate(columns):
        order[free[column]], rows_in_order[free[column]] = k, rows[k]
        free[column] += 1


@jit_reassociating
def add_weighted(
    total: Float[Array, " d"], index: Int[Array, " nnz"], weights: Float[Array, " nnz"], table: Float[Array, "n d"],
    first: int, last: int,
) -> None:  # fmt: skip
    """total += the sum of weights[k] * table[index[k]], four rows at a time."""
    k = first
    while k + 4 <= last:
        a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        row_a, row_b, row_c, row_d = (
            table[index[k]], table[index[k + 1]], table[index[k + 2]], table[index[k + 3]],
        )  # fmt: skip
        for column in range(len(total)):
            total[column] += a * row_a[column] + b * row_b[column] + c * row_c[column] + d * row_d[column]
        k += 4
    if k + 2 <= last:
        a, b, row_a, row_b = weights[k], weights[k + 1], table[index[k]], table[index[k + 1]]
        for column in range(len(total)):
            total[column] += a * row_a[column] + b * row_b[column]
        k += 2
    if k < last:
        weight, row = weights[k], table[index[k]]
        for column in range(len(total)):
            total[column] += weight * row[column]


@jit_reassociating
def weighted_rows(
    starts: Int[Array, " groups+1"], index: Int[Array, " nnz"], weights: Float[Array, " nnz"],
    table: Float[Array, "n d"], out: Float[Array, "groups d"], first: int, last: int,
) -> None:  # fmt: skip
    """out[g] = the sum of weights[k] * table[index[k]] over the entries k of group g."""
    for group in range(first, last):
        out[group] = 0
        add_weighted(out[group], index, weights, table, starts[group], starts[group + 1])


@jit_reassociating
def reconstruct(
    starts: Int[Array, " batch+1"], columns: Int[Array, " nnz"], values: Float[Array, " nnz"],
    table: Float[Array, "d_sae d"], x: Float[Array, "batch d"], scale: float, error: Float[Array, "batch d"],
    grad_codes: Float[Array, " nnz"], first: int, last: int,
) -> None:  # fmt: skip
    """error = values @ table - x, and scale * error @ table^T at the entries, while the rows are in cache."""
    for row in range(first, last):
        residual, target = error[row], x[row]
        for place in range(len(residual)):
            residual[place] = -target[place]
        add_weighted(residual, columns, values, table, starts[row], starts[row + 1])
        for k in range(starts[row], starts[row + 1]):
            vector = table[columns[k]]
            total = vector.dtype.type(0)
            for place in range(len(residual)):
                total += vector[place] * residual[place]
            grad_codes[k] = scale * total


@jit_reassociating
def dots(
    starts: Int[Array, " groups+1"], columns: Int[Array, " nnz"], table: Float[Array, "n d"],
    rows: Float[Array, "groups d"], scale: float, out: Float[Array, " nnz"], first: int, last: int,
) -> None:  # fmt: skip
    """out[k] = scale * table[columns[k]] . rows[g] for the entries k of group g."""
    for group in range(first, last):
        row = rows[group]
        for k in range(starts[group], starts[group + 1]):
            vector = table[columns[k]]
            total = vector.dtype.type(0)
            for place in range(len(row)):
                total += vector[place] * row[place]
            out[k] = scale * total


@jit_reassociating
def _add_weighted_two(
    first_total: Float[Array, " d"], second_total: Float[Array, " d"], index: Int[Array, " nnz"],
    first_weights: Float[Array, " nnz"], second_weights: Float[Array, " nnz"], table: Float[Array, "n d"],
    first: int, last: int,
) -> None:  # fmt: skip
    """As `add_weighted` with each set of weights; each row is read once."""
    k = first
    while k + 4 <= last:
        a, b, c, d = first_weights[k], first_weights[k + 1], first_weights[k + 2], first_weights[k + 3]
        e, f, g, h = second_weights[k], second_weights[k + 1], second_weights[k + 2], second_weights[k + 3]
        row_a, row_b, row_c, row_d = (
            table[index[k]], table[index[k + 1]], table[index[k + 2]], table[index[k + 3]],
        )  # fmt: skip
        for column in range(len(first_total)):
            p, q, r, s = row_a[column], row_b[column], row_c[column], row_d[column]
            first_total[column] += a * p + b * q + c * r + d * s
            second_total[column] += e * p + f * q + g * r + h * s
        k += 4
    while k < last:
        row = table[index[k]]
        for column in range(len(first_total)):
            first_total[column] += first_weights[k] * row[column]
            second_total[column] += second_weights[k] * row[column]
        k += 1


@jit_reassociating
def reconstruct_two(
    starts: Int[Array, " batch+1"], columns: Int[Array, " nnz"], first_values: Float[Array, " nnz"],
    second_values: Float[Array, " nnz"], table: Float[Array, "d_sae d"], x: Float[Array, "batch d"], scale: float,
    first_error: Float[Array, "batch d"], second_error: Float[Array, "batch d"],
    first_grad: Float[Array, " nnz"], second_grad: Float[Array, " nnz"], first: int, last: int,
) -> None:  # fmt: skip
    """As `reconstruct` of each set of values."""
    for row in range(first, last):
        one, other, target = first_error[row], second_error[row], x[row]
        for place in range(len(one)):
            one[place] = -target[place]
            other[place] = -target[place]
        _add_weighted_two(one, other, columns, first_values, second_values, table, starts[row], starts[row + 1])
        for k in range(starts[row], starts[row + 1]):
            vector = table[columns[k]]
            first_total, second_total = vector.dtype.type(0), vector.dtype.type(0)
            for place in range(len(one)):
                first_total += vector[place] * one[place]
                second_total += vector[place] * other[place]
            first_grad[k] = scale * first_total
            second_grad[k] = scale * second_total


@jit
def sums_by_column(columns: Int[Array, " nnz"], values: Float[Array, " nnz"], out: Float[Array, " d_sae"]) -> None:
    """out[i] = the sum of the values in column i."""
    out[:] = 0
    for k, column in enumerate(columns):
        out[column] += values[k]


@jit
def positive_by_column(columns: Int[Array, " nnz"], values: Float[Array, " nnz"], out: Bool[Array, " d_sae"]) -> None:
    """Whether a column has a value above zero."""
    out[:] = False
    for k, column in enumerate(columns):
        if values[k] > 0:
            out[column] = True
