"""Sparse codes on a GPU: as SparseCodes on a CPU, by Triton kernels and PyTorch's sorts. Imported only where used.

Every operation sums in a fixed order, without atomics; the sort is stable.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.kernels import gpu
from pipeline.sae.sparse_step.codes import Decoded, IndexedCodes, Reconstruction


class DeferredGradGPU(NamedTuple):
    """As `DeferredGradCPU`, on a GPU."""

    starts: Int[Tensor, " d_sae+1"]
    row: Int[Tensor, " nnz"]
    values: Float[Tensor, " nnz"]
    rows: Float[Tensor, "batch d_in"]

    def materialize(self) -> Float[Tensor, "d_sae d_in"]:
        return gpu.weighted_rows(*self)


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
        self, decoded: Decoded, W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"], scale: float
    ) -> list[Reconstruction]:
        csr, table = (self._row_start, self.feature), W_dec.detach()
        return [Reconstruction(*gpu.reconstruct(*csr, values, table, x, scale)) for values in decoded]

    def weight_grad(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]], scale: float = 1.0) -> DeferredGradGPU:
        values = scale * torch.stack([values[self._by_feature] for values, _ in terms], dim=1)
        offsets = torch.arange(len(terms), dtype=torch.int32, device=values.device) * self.shape[0]
        row = self._row_by_feature[:, None] + offsets  # the rows of one term stand below another's
        rows = torch.cat([rows for _, rows in terms]) if len(terms) > 1 else terms[0][1]
        return DeferredGradGPU(len(terms) * self._feature_start, row.flatten(), values.flatten(), rows)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        return gpu.sums(self._feature_start, self._by_feature, values)

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        return self.sum((values > 0).to(values.dtype)) > 0
