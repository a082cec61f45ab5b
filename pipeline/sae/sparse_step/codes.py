"""How a batch's codes are stored: dense, or only the active entries. Values are passed to each operation.

The encoder's product must look at every feature. Everything else of a step is zero wherever a feature is inactive.
`DenseCodes`, `SparseCodes` (codes_cpu.py) and `SparseCodesGPU` (codes_gpu.py) have the same operations. The sparse ones
skip the zeros and approximate nothing. Each number is summed by one thread in a fixed order, so that no bit depends on
the number of threads.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.precision import FLOAT32, product

Decoded: TypeAlias = tuple[Tensor] | tuple[Tensor, Tensor]
"""Values of the codes: the features and, if an auxiliary term decodes something else, this too."""


class Reconstruction(NamedTuple):
    """Decoded values against x, and the gradient of scale / 2 * ||error||^2."""

    error: Float[Tensor, "batch d_in"]  # values @ W_dec - x
    grad: Tensor  # with respect to the values, in their shape: scale * error @ W_dec^T


class DeferredGrad(Protocol):
    """A gradient of W_enc or W_dec that Adam computes a row at a time and never stores as a whole."""

    def materialize(self) -> Float[Tensor, "d_sae d_in"]: ...


ParameterGrad: TypeAlias = Tensor | DeferredGrad


def materialize(gradient: ParameterGrad) -> Tensor:
    """A gradient as a tensor [d_sae, d_in], or [d] of a vector."""
    return gradient if isinstance(gradient, Tensor) else gradient.materialize()


class Codes(Protocol):
    """`values` are [batch, d_sae] for dense codes, [nnz] for sparse ones."""

    def expand(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        """A parameter per feature, in a shape that broadcasts with `values`: [d_sae] or [nnz]."""
        ...

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        """values @ W_dec."""
        ...

    def reconstruct(
        self, decoded: Decoded, W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"], scale: float
    ) -> list[Reconstruction]:
        """Decode each set of values; return its error and the gradient with respect to the values."""
        ...

    def weight_grad(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]], scale: float = 1.0) -> ParameterGrad:
        """The sum of (scale * values)^T @ rows over the terms (values, rows): [d_sae, d_in]."""
        ...

    def reduce(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        """The gradient of a parameter from the gradient of its `expand`."""
        ...

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        """Sums over the batch."""
        ...

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        """Features with a value above zero anywhere in the batch."""
        ...

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        """Number of values above zero per row, and per feature over the rows in `counted`."""
        ...


@dataclass(frozen=True)
class DenseCodes:
    """All entries, by dense matrix products."""

    precision: str = FLOAT32

    def expand(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return product(values, W_dec, self.precision)

    def reconstruct(
        self, decoded: Decoded, W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"], scale: float
    ) -> list[Reconstruction]:
        errors = [self.decode(values, W_dec) - x for values in decoded]
        return [Reconstruction(error, product(scale * error, W_dec.T, self.precision)) for error in errors]

    def weight_grad(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]], scale: float = 1.0) -> ParameterGrad:
        first, *others = terms
        total = self._weight_grad(*first, scale)
        for each in others:
            total += self._weight_grad(*each, scale)
        return total

    def _weight_grad(self, values: Tensor, rows: Float[Tensor, "batch d_in"], scale: float) -> Tensor:
        return product((values if scale == 1.0 else scale * values).T, rows, self.precision)

    def reduce(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        return gradient

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        return values.sum(0)

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        return values.amax(0) > 0

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        positive = values > 0
        return positive.sum(1), (positive & counted[:, None]).sum(0)


class IndexedCodes:
    """The active entries by `row` and `feature`, sorted by row: what a CPU and a GPU have in common."""

    shape: torch.Size
    row: Int[Tensor, " nnz"]
    feature: Int[Tensor, " nnz"]

    def expand(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature.index_select(0, self.feature)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        raise NotImplementedError

    def reduce(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        return self.sum(gradient)

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        batch, d_sae = self.shape
        row, feature = self.row[values > 0], self.feature[values > 0]
        by_row = torch.bincount(row, minlength=batch)
        return by_row, torch.bincount(feature[counted[row]], minlength=d_sae)
