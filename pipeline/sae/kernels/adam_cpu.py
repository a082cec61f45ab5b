"""Adam's step on a CPU in one pass over memory: with stored gradients, or computed a row at a time."""

import numpy as np
from jaxtyping import Float, Int

from pipeline.sae.kernels.cpu import add_weighted
from pipeline.sae.kernels.jit import Array, jit_reassociating


@jit_reassociating
def _move(
    row: Float[Array, " d"], grad: Float[Array, " d"], mean: Float[Array, " d"], square: Float[Array, " d"],
    step_size: float, beta1: float, beta2: float, root: float, epsilon: float, averaged: bool, unit: bool,
) -> None:  # fmt: skip
    """Adam's step (Kingma and Ba, algorithm 1) with its bias corrections in step_size and root.

    Without `averaged`, beta1 is 0: the mean is the gradient, and is not stored. With `unit`, the row stays on the unit
    sphere: the part of the gradient along it is removed, and the row is renormalised afterwards.
    """
    zero, one = row.dtype.type(0), row.dtype.type(1)
    along = zero
    if unit:
        for place in range(len(row)):
            along += grad[place] * row[place]
    square_norm = zero
    if averaged:
        for place in range(len(row)):
            across = grad[place] - along * row[place]
            mean[place] = beta1 * mean[place] + (one - beta1) * across
            square[place] = beta2 * square[place] + (one - beta2) * across * across
            row[place] -= step_size * mean[place] / (np.sqrt(square[place]) * root + epsilon)
            square_norm += row[place] * row[place]
    else:
        for place in range(len(row)):
            across = grad[place] - along * row[place]
            square[place] = beta2 * square[place] + (one - beta2) * across * across
            row[place] -= step_size * across / (np.sqrt(square[place]) * root + epsilon)
            square_norm += row[place] * row[place]
    if unit:
        shrink = one / np.sqrt(square_norm)
        for place in range(len(row)):
            row[place] *= shrink


@jit_reassociating
def adam(
    gradient: Float[Array, "rows d"], parameter: Float[Array, "rows d"], mean: Float[Array, "rows d"],
    square: Float[Array, "rows d"], step_size: float, beta1: float, beta2: float, root: float, epsilon: float,
    averaged: bool, unit: bool, first: int, last: int,
) -> None:  # fmt: skip
    for index in range(first, last):
        _move(
            parameter[index], gradient[index], mean[index], square[index], step_size, beta1, beta2, root, epsilon,
            averaged, unit,
        )  # fmt: skip


@jit_reassociating
def adam_deferred(
    starts: Int[Array, " rows+1"], index: Int[Array, " nnz"], weights: Float[Array, " nnz"],
    table: Float[Array, "n d"], added_to: Int[Array, " rows"], added: Float[Array, "m d"],
    parameter: Float[Array, "rows d"], mean: Float[Array, "rows d"], square: Float[Array, "rows d"],
    step_size: float, beta1: float, beta2: float, root: float, epsilon: float, averaged: bool, unit: bool,
    first: int, last: int,
) -> None:  # fmt: skip
    """Row r of the gradient is the sum of weights[k] * table[index[k]] over the entries k of feature r.

    Where added_to[r] is not below zero it has added[added_to[r]] too; an empty `added_to` adds nothing.
    """
    gradient = np.empty_like(parameter[0])
    for row in range(first, last):
        more = added_to[row] if len(added_to) else -1
        if starts[row] == starts[row + 1] and more < 0 and not averaged:  # nothing moves
            for place in range(len(gradient)):
                square[row, place] *= beta2
            continue
        gradient[:] = 0
        add_weighted(gradient, index, weights, table, starts[row], starts[row + 1])
        if more >= 0:
            for place in range(len(gradient)):
                gradient[place] += added[more, place]
        _move(
            parameter[row], gradient, mean[row], square[row], step_size, beta1, beta2, root, epsilon, averaged, unit
        )  # fmt: skip


@jit_reassociating
def adam_vectors(
    gradients: tuple[Float[Array, " d"], ...], parameters: tuple[Float[Array, " d"], ...],
    means: tuple[Float[Array, " d"], ...], squares: tuple[Float[Array, " d"], ...], step_size: float, beta1: float,
    beta2: float, root: float, epsilon: float, averaged: bool,
) -> None:  # fmt: skip
    """Several parameters, each of them one row; all of one type of array."""
    for index in range(len(parameters)):
        _move(
            parameters[index], gradients[index], means[index], squares[index], step_size, beta1, beta2, root, epsilon,
            averaged, False,
        )  # fmt: skip
