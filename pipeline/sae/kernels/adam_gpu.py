"""Adam's step on a GPU with gradients that are computed a row at a time; adam_cpu.py is its twin."""

import triton
import triton.language as tl
from torch import Tensor

from pipeline.sae.kernels.gpu import shape_of, weighted_row
from pipeline.sae.sparse_step.codes_gpu import DeferredGradGPU


@triton.jit
def _adam_deferred(
    starts, index, weights, table, parameter, mean, square, step_size, beta1, beta2, root, epsilon,
    averaged: tl.constexpr, unit: tl.constexpr, d: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    feature = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, block)
    inside = place < d
    grad = weighted_row(starts, index, weights, table, feature, place, inside, d, block)
    at = feature * d + place
    row = tl.load(parameter + at, mask=inside, other=0.0)
    if unit:
        grad -= tl.sum(grad * row, axis=0) * row
    second = beta2 * tl.load(square + at, mask=inside, other=0.0) + (1 - beta2) * grad * grad
    tl.store(square + at, second, mask=inside)
    if averaged:
        grad = beta1 * tl.load(mean + at, mask=inside, other=0.0) + (1 - beta1) * grad
        tl.store(mean + at, grad, mask=inside)
    row -= tl.div_rn(step_size * grad, tl.sqrt_rn(second) * root + epsilon)
    if unit:
        row = tl.div_rn(row, tl.sqrt_rn(tl.sum(row * row, axis=0)))
    tl.store(parameter + at, row, mask=inside)


def adam_deferred(
    gradient: DeferredGradGPU, parameter: Tensor, mean: Tensor | None, square: Tensor, factors: tuple[float, ...],
    unit: bool,
) -> None:  # fmt: skip
    """One program per row of `parameter` [d_sae, d_in]; factors: step size, beta1, beta2, root, epsilon."""
    averaged, kept = mean is not None, square if mean is None else mean
    d_sae, d_in = parameter.shape
    _adam_deferred[(d_sae,)](
        *gradient, parameter, kept, square, *factors, averaged=averaged, unit=unit, **shape_of(d_in)
    )  # fmt: skip
