"""Sparse codes on a GPU: as SparseCodes on a CPU, by Triton kernels and PyTorch's sorts. Imported only where used.

Every operation sums in a fixed order, without atomics; the sort is stable.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.kernels import gpu
from pipeline.sae.sparse_step.codes import IndexedCodes, Reconstruction, WeightGradTerm


class DeferredGradGPU(NamedTuple):
    """As `DeferredGradCPU`, on a GPU."""

    starts: Int[Tensor, " d_sae+1"]
    row: Int[Tensor, " nnz"]
    values: Float[Tensor, " nnz"]
    rows: Float[Tensor, "batch d_in"]

    def materialize(self) -> Float[Tensor, "d_sae d_in"]:
        return gpu.weighted_rows(*self)

    def plus_rows(self, features: Int[Tensor, " n"], rows: Float[Tensor, "n d_in"]) -> Tensor:
        return self.materialize().index_add(0, features, rows)


class SparseCodesGPU(IndexedCodes):
    """Built without waiting for the device: the host already knows `count`, the number of active entries."""

    def __init__(self, active: Bool[Tensor, "batch d_sae"], count: int) -> None:
        self.shape = active.shape
        self.positions = torch.nonzero_static(active.flatten(), size=count)[:, 0]
        self.row, self.feature = (
            part.int() for part in (self.positions // self.shape[1], self.positions % self.shape[1])
        )
        rows, features = (torch.arange(size + 1, dtype=torch.int32, device=active.device) for size in self.shape)
        self._row_start = torch.searchsorted(self.row, rows)
        ordered = torch.sort(self.feature, stable=True)
        self._feature_start, self._by_feature = torch.searchsorted(ordered.values, features), ordered.indices
        self._row_by_feature = self.row[self._by_feature]

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return gpu.weighted_rows(self._row_start, self.feature, values, W_dec.detach())

    def reconstruct(
        self, decoded: Sequence[Tensor], W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"],
        scale: float,
    ) -> list[Reconstruction]:  # fmt: skip
        csr, table = (self._row_start, self.feature), W_dec.detach()
        found = [gpu.reconstruct(*csr, values, table, x, scale) for values in decoded]
        return [Reconstruction((error,), error, grad) for error, grad in found]

    def weighted_rows(self, starts: Tensor, values: Tensor, table: Tensor) -> Tensor:
        return gpu.weighted_rows(starts, self.feature, values, table.detach())

    def dots(self, starts: Tensor, table: Tensor, rows: Tensor, scale: float) -> Tensor:
        return gpu.dots(starts, self.feature, table.detach(), rows, scale)

    def weight_grad(self, *terms: WeightGradTerm, scale: float = 1.0) -> DeferredGradGPU:
        values = scale * torch.stack([term.values[self._by_feature] for term in terms], dim=1)
        row, above = [], 0
        for term in terms:  # the rows of one term stand below another's
            row.append(self._row_by_feature + above)
            if term.prefixes:
                row[-1] = row[-1] + (self.slice_of(term.prefixes)[self._by_feature] * self.shape[0]).int()
            above += len(term.rows)
        rows = torch.cat([term.rows for term in terms]) if len(terms) > 1 else terms[0].rows
        return DeferredGradGPU(len(terms) * self._feature_start, torch.stack(row, 1).flatten(), values.flatten(), rows)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        return gpu.sums(self._feature_start, self._by_feature, values)

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        return self.sum((values > 0).to(values.dtype)) > 0
