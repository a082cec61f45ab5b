"""Sparse codes on a CPU, in compiled loops."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.kernels import cpu
from pipeline.sae.kernels.jit import Array, split
from pipeline.sae.sparse_step.codes import Decoded, IndexedCodes, ParameterGrad, Reconstruction


class DeferredGradCPU(NamedTuple):
    """values^T @ rows, [d_sae, d_in], as compressed columns of values; Adam computes it a row at a time."""

    starts: Int[Array, " d_sae+1"]  # first entry of each feature, and the end of the last
    row: Int[Array, " nnz"]
    values: Float[Array, " nnz"]
    rows: Float[Array, "batch d_in"]

    def materialize(self) -> Float[Tensor, "d_sae d_in"]:
        return _weighted_rows(self.starts, self.row, self.values, torch.from_numpy(self.rows))


class SparseCodes(IndexedCodes):
    """The active entries as compressed rows (CSR), and their permutation to compressed columns (CSC)."""

    def __init__(self, shape: torch.Size, row_start: Array, row: Array, feature: Array) -> None:
        self.shape, self._row_start, self._feature = shape, row_start, feature
        self._feature_start, self._by_feature = np.empty(shape[1] + 1, np.int64), np.empty(len(feature), np.int64)
        self._row_by_feature = np.empty_like(row)
        cpu.csr_to_csc(row, feature, self._feature_start, self._by_feature, self._row_by_feature)
        self.row, self.feature = torch.from_numpy(row), torch.from_numpy(feature)

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return _weighted_rows(self._row_start, self._feature, values.numpy(), W_dec)

    def reconstruct(
        self, decoded: Decoded, W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"], scale: float
    ) -> list[Reconstruction]:
        found = [Reconstruction(torch.empty_like(x), torch.empty_like(values)) for values in decoded]
        values, errors, grad_codes = (
            [tensor.numpy() for tensor in tensors] for tensors in (decoded, *zip(*found, strict=True))
        )
        table = W_dec.detach().numpy()
        csr, factor = (self._row_start, self._feature), table.dtype.type(scale)
        arguments = (*csr, *values, table, x.numpy(), factor, *errors, *grad_codes)
        loop = cpu.reconstruct if len(decoded) == 1 else cpu.reconstruct_two
        split(loop, arguments, self._row_start, 2 * len(decoded) * len(self._feature) * x.shape[1])
        return found

    def weight_grad(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]], scale: float = 1.0) -> ParameterGrad:
        scaled = (values if scale == 1.0 else scale * values for values, _ in terms)
        values = [values.numpy()[self._by_feature] for values in scaled]
        if len(terms) == 1:
            return DeferredGradCPU(self._feature_start, self._row_by_feature, values[0], terms[0][1].numpy())
        # An entry's terms follow each other, and the rows of one term stand below another's.
        row = self._row_by_feature[:, None] + np.arange(len(terms), dtype=np.int32) * self.shape[0]
        rows = torch.cat([rows for _, rows in terms]).numpy()
        return DeferredGradCPU(len(terms) * self._feature_start, row.ravel(), np.stack(values, axis=1).ravel(), rows)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        sums = values.new_empty(self.shape[1])
        cpu.sums_by_column(self._feature, values.numpy(), sums.numpy())
        return sums

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        found = torch.empty(self.shape[1], dtype=torch.bool)
        cpu.positive_by_column(self._feature, values.numpy(), found.numpy())
        return found


def compact_cpu(pre_acts: Tensor, threshold: Tensor, most: int) -> tuple[SparseCodes, Tensor] | None:
    """The active entries and their pre-activations [nnz], if there are fewer than `most`; else None."""
    values = pre_acts.numpy()
    buffers, counts = _buffers(values.size, values.dtype), np.zeros(len(values), np.int64)
    arguments = (values, threshold.numpy(), most, counts, *buffers)
    ranges = split(cpu.compact_above, arguments, len(values), 8 * values.size)
    row_start = np.zeros(len(values) + 1, np.int64)
    np.cumsum(counts, out=row_start[1:])
    if row_start[-1] >= most:
        return None
    width = values.shape[1]
    found = [slice(first * width, first * width + row_start[last] - row_start[first]) for first, last in ranges]
    row, feature, active = (np.concatenate([buffer[part] for part in found]) for buffer in buffers)
    return SparseCodes(pre_acts.shape, row_start, row, feature), torch.from_numpy(active)


@lru_cache(maxsize=1)
def _buffers(count: int, dtype: np.dtype) -> tuple[Array, Array, Array]:
    """Memory for rows, columns and values, reused: fresh pages per step would cost as much as the search."""
    return np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, dtype)


ROWS_PER_GROUP = 512
"""Rows that `weighted_sum` adds up at a time; a constant, so that the order depends on the shape alone."""


def weighted_sum(weights: Float[Tensor, " n"], table: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """weights @ table, with the same bits on any number of threads, which BLAS does not promise."""
    starts = np.append(np.arange(0, len(table), ROWS_PER_GROUP), len(table))
    return _weighted_rows(starts, np.arange(len(table), dtype=np.int32), weights.numpy(), table).sum(0)


def _weighted_rows(starts: Array, index: Array, weights: Array, table: Tensor) -> Tensor:
    """Weighted sums of the rows of `table` [n, d] per group: [groups, d]."""
    out = table.new_empty(len(starts) - 1, table.shape[1])
    arguments = (starts, index, weights, table.detach().numpy(), out.numpy())
    split(cpu.weighted_rows, arguments, starts, len(index) * table.shape[1])
    return out
