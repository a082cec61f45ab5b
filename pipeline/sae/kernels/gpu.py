"""Loops over the active entries of codes on a GPU, in Triton: what kernels/cpu.py is on a CPU.

One program computes one row, in the order of its entries. There are no atomic operations and no autotuning, so a run
repeats itself bit for bit on the same kind of device. Rows are padded to a power of two by masks. Imported only where a
GPU is used; tests run it in Triton's interpreter.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

WARPS = 8


@triton.jit
def weighted_row(starts, index, weights, table, group, place, inside, d: tl.constexpr, block: tl.constexpr):
    """The sum of weights[k] * table[index[k]] over the entries k of a group."""
    total = tl.zeros([block], table.dtype.element_ty)
    for k in range(tl.load(starts + group), tl.load(starts + group + 1)):
        row = tl.load(index + k).to(tl.int64)
        total += tl.load(weights + k) * tl.load(table + row * d + place, mask=inside, other=0.0)
    return total


@triton.jit
def _weighted_rows(starts, index, weights, table, out, d: tl.constexpr, block: tl.constexpr):
    group = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, block)
    inside = place < d
    total = weighted_row(starts, index, weights, table, group, place, inside, d, block)
    tl.store(out + group * d + place, total, mask=inside)


@triton.jit
def _reconstruct(
    starts, columns, values, table, x, scale, error, grad_codes, d: tl.constexpr, block: tl.constexpr
):  # fmt: skip
    """error = values @ table - x, and scale * error @ table^T at the entries of one row."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, block)
    inside = place < d
    target = tl.load(x + row * d + place, mask=inside, other=0.0)
    residual = weighted_row(starts, columns, values, table, row, place, inside, d, block) - target
    tl.store(error + row * d + place, residual, mask=inside)
    for k in range(tl.load(starts + row), tl.load(starts + row + 1)):
        column = tl.load(columns + k).to(tl.int64)
        vector = tl.load(table + column * d + place, mask=inside, other=0.0)
        tl.store(grad_codes + k, scale * tl.sum(vector * residual, axis=0))


@triton.jit
def _dots(starts, columns, table, rows, scale, out, d: tl.constexpr, block: tl.constexpr):
    """scale * table[columns[k]] . row at the entries k of one group."""
    group = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, block)
    inside = place < d
    row = tl.load(rows + group * d + place, mask=inside, other=0.0)
    for k in range(tl.load(starts + group), tl.load(starts + group + 1)):
        column = tl.load(columns + k).to(tl.int64)
        vector = tl.load(table + column * d + place, mask=inside, other=0.0)
        tl.store(out + k, scale * tl.sum(vector * row, axis=0))


@triton.jit
def _sums(starts, order, values, out, block: tl.constexpr):
    """The sum of values[order[k]] over the entries k of one group."""
    group = tl.program_id(0)
    first, last = tl.load(starts + group), tl.load(starts + group + 1)
    total = tl.zeros([block], values.dtype.element_ty)
    for start in range(first, last, block):
        k = start + tl.arange(0, block)
        inside = k < last
        total += tl.load(values + tl.load(order + k, mask=inside, other=0), mask=inside, other=0.0)
    tl.store(out + group, tl.sum(total, axis=0))


def shape_of(d: int) -> dict[str, Any]:
    """How a program holds a row of d numbers; the same for every launch."""
    return {"d": d, "block": triton.next_power_of_2(d), "num_warps": WARPS}


def weighted_rows(
    starts: Int[Tensor, " groups+1"], index: Int[Tensor, " nnz"], weights: Float[Tensor, " nnz"],
    table: Float[Tensor, "n d"],
) -> Float[Tensor, "groups d"]:  # fmt: skip
    """out[g] = the sum of weights[k] * table[index[k]] over the entries k of group g."""
    out = table.new_empty(len(starts) - 1, table.shape[1])
    _weighted_rows[(len(out),)](starts, index, weights, table, out, **shape_of(table.shape[1]))
    return out


def reconstruct(
    starts: Int[Tensor, " batch+1"], columns: Int[Tensor, " nnz"], values: Float[Tensor, " nnz"],
    table: Float[Tensor, "d_sae d"], x: Float[Tensor, "batch d"], scale: float,
) -> tuple[Float[Tensor, "batch d"], Float[Tensor, " nnz"]]:  # fmt: skip
    """error = values @ table - x, and scale * error @ table^T at the entries."""
    error, grad_codes = torch.empty_like(x), torch.empty_like(values)
    _reconstruct[(len(x),)](starts, columns, values, table, x, scale, error, grad_codes, **shape_of(x.shape[1]))
    return error, grad_codes


def dots(
    starts: Int[Tensor, " groups+1"], columns: Int[Tensor, " nnz"], table: Float[Tensor, "n d"],
    rows: Float[Tensor, "groups d"], scale: float,
) -> Float[Tensor, " nnz"]:  # fmt: skip
    """out[k] = scale * table[columns[k]] . rows[g] for the entries k of group g."""
    out = rows.new_empty(len(columns))
    _dots[(len(rows),)](starts, columns, table, rows, scale, out, **shape_of(rows.shape[1]))
    return out


def sums(
    starts: Int[Tensor, " groups+1"], order: Int[Tensor, " nnz"], values: Float[Tensor, " nnz"]
) -> Float[Tensor, " groups"]:
    """out[g] = the sum of values[order[k]] over the entries k of group g."""
    out = values.new_empty(len(starts) - 1)
    _sums[(len(out),)](starts, order, values, out, block=128, num_warps=1)
    return out
