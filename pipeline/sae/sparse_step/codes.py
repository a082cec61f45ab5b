"""How a batch's codes are stored: dense, or only the active entries. Values are passed to each operation.

The encoder's product must look at every feature. Everything else of a step is zero wherever a feature is inactive.
`DenseCodes`, `SparseCodes` (codes_cpu.py) and `SparseCodesGPU` (codes_gpu.py) have the same operations. The sparse ones
skip the zeros and approximate nothing. Each number is summed by one thread in a fixed order, so that no bit depends on
the number of threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.precision import FLOAT32, product


class Reconstruction(NamedTuple):
    """Decoded values against x, and the gradient of scale / 2 * ||error||^2; or of nested prefixes, summed."""

    errors: tuple[Float[Tensor, "batch d_in"], ...]  # values @ W_dec - x; one for each prefix, if there are any
    rows: Float[Tensor, "slices*batch d_in"]  # by slice of features: the sum of the errors that the slice is part of
    grad: Tensor  # with respect to the values, in their shape: scale * rows @ W_dec^T

    def without_grad(self) -> "Reconstruction":
        return self._replace(grad=self.grad[:0].clone())


class WeightGradTerm(NamedTuple):
    """Part of a matrix's gradient: values^T @ rows."""

    values: Tensor
    rows: Float[Tensor, "slices*batch d_in"]
    prefixes: tuple[int, ...] = ()  # ends of the slices but the last; a slice's features weigh the rows of the slice


class DeferredGrad(Protocol):
    """A gradient of W_enc or W_dec that Adam computes a row at a time and never stores as a whole."""

    def materialize(self) -> Float[Tensor, "d_sae d_in"]: ...

    def plus_rows(self, features: Int[Tensor, " n"], rows: Float[Tensor, "n d_in"]) -> "ParameterGrad": ...


ParameterGrad: TypeAlias = Tensor | DeferredGrad


def materialize(gradient: ParameterGrad) -> Tensor:
    """A gradient as a tensor [d_sae, d_in], or [d] of a vector."""
    return gradient if isinstance(gradient, Tensor) else gradient.materialize()


def add_rows(gradient: ParameterGrad, features: Int[Tensor, " n"], rows: Tensor) -> ParameterGrad:
    """A gradient by feature with these rows added, one for each of some features."""
    if isinstance(gradient, Tensor):
        return gradient.index_add(0, features, rows)
    return gradient.plus_rows(features, rows)


class Codes(Protocol):
    """`values` are [batch, d_sae] for dense codes, [nnz] for sparse ones."""

    def expand(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        """A parameter per feature, in a shape that broadcasts with `values`: [d_sae] or [nnz]."""
        ...

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        """values @ W_dec."""
        ...

    def reconstruct(
        self, decoded: Sequence[Tensor], W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"],
        scale: float,
    ) -> list[Reconstruction]:  # fmt: skip
        """Decode each set of values; return its error and the gradient with respect to the values."""
        ...

    def reconstruct_nested(
        self, values: Tensor, prefixes: Sequence[int], W_dec: Float[Tensor, "d_sae d_in"],
        x: Float[Tensor, "batch d_in"], scale: float,
    ) -> Reconstruction:  # fmt: skip
        """Decode the first m features for each m in `prefixes`, then all; every slice is decoded once."""
        ...

    def weight_grad(self, *terms: WeightGradTerm, scale: float = 1.0) -> ParameterGrad:
        """The sum of (scale * values)^T @ rows over the terms: [d_sae, d_in]."""
        ...

    def selected(self, values: Tensor) -> Tensor:
        """`values` with zeros where an entry is not selected."""
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
    """All entries, by dense matrix products; those outside `mask`, if there is one, are zero."""

    precision: str = FLOAT32
    mask: Bool[Tensor, "batch d_sae"] | None = None

    def of_rows(self, rows: slice) -> "DenseCodes":
        return self if self.mask is None else DenseCodes(self.precision, self.mask[rows])

    def selected(self, values: Tensor) -> Tensor:
        return values if self.mask is None else torch.where(self.mask, values, 0.0)

    def expand(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return product(values, W_dec, self.precision)

    def reconstruct(
        self, decoded: Sequence[Tensor], W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"],
        scale: float,
    ) -> list[Reconstruction]:  # fmt: skip
        errors = [self.decode(values, W_dec) - x for values in decoded]
        return [Reconstruction((error,), error, product(scale * error, W_dec.T, self.precision)) for error in errors]

    def reconstruct_nested(
        self, values: Tensor, prefixes: Sequence[int], W_dec: Float[Tensor, "d_sae d_in"],
        x: Float[Tensor, "batch d_in"], scale: float,
    ) -> Reconstruction:  # fmt: skip
        slices = _slices(prefixes, values.shape[1])
        parts = [self.decode(values[:, each], W_dec[each]) for each in slices]
        errors, rows = _nested(parts, x)
        grads = [product(scale * row, W_dec[each].T, self.precision) for row, each in zip(rows, slices, strict=True)]
        return Reconstruction(errors, torch.cat(rows), torch.cat(grads, dim=1))

    def weight_grad(self, *terms: WeightGradTerm, scale: float = 1.0) -> ParameterGrad:
        first, *others = terms
        total = self._weight_grad(first, scale)
        for each in others:
            total += self._weight_grad(each, scale)
        return total

    def _weight_grad(self, term: WeightGradTerm, scale: float) -> Tensor:
        values = term.values if scale == 1.0 else scale * term.values
        slices = _slices(term.prefixes, values.shape[1])
        rows = term.rows.split(len(values))
        parts = [product(values[:, each].T, row, self.precision) for each, row in zip(slices, rows, strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

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
    feature: Int[Tensor, " nnz"]  # in rising order within a row

    def selected(self, values: Tensor) -> Tensor:
        return values

    def expand(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature.index_select(0, self.feature)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        raise NotImplementedError

    def weighted_rows(self, starts: Tensor, values: Tensor, table: Tensor) -> Float[Tensor, "groups d_in"]:
        """By group of entries, in the order of the rows: the sum of values[k] * table[feature[k]]."""
        raise NotImplementedError

    def dots(self, starts: Tensor, table: Tensor, rows: Tensor, scale: float) -> Float[Tensor, " nnz"]:
        """At each entry k of group g: scale * table[feature[k]] . rows[g]."""
        raise NotImplementedError

    def reconstruct_nested(
        self, values: Tensor, prefixes: Sequence[int], W_dec: Float[Tensor, "d_sae d_in"],
        x: Float[Tensor, "batch d_in"], scale: float,
    ) -> Reconstruction:  # fmt: skip
        count, slice_ = len(prefixes) + 1, self.slice_of(prefixes)
        group = self.row.long() * count + slice_
        starts = torch.searchsorted(group, torch.arange(count * len(x) + 1, device=x.device))
        parts = self.weighted_rows(starts, values, W_dec).view(len(x), count, -1).unbind(1)
        errors, rows = _nested(parts, x)
        by_group = torch.stack(rows, dim=1).flatten(0, 1)
        return Reconstruction(errors, torch.cat(rows), self.dots(starts, W_dec, by_group, scale))

    def slice_of(self, prefixes: Sequence[int]) -> Int[Tensor, " nnz"]:
        """In which slice an entry's feature is."""
        ends = torch.tensor(tuple(prefixes), dtype=self.feature.dtype, device=self.feature.device)
        return torch.bucketize(self.feature, ends, right=True)

    def reduce(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        return self.sum(gradient)

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        batch, d_sae = self.shape
        row, feature = self.row[values > 0], self.feature[values > 0]
        by_row = torch.bincount(row, minlength=batch)
        return by_row, torch.bincount(feature[counted[row]], minlength=d_sae)


def joined(chunks: Sequence[Reconstruction]) -> Reconstruction:
    """Of a whole batch from its chunks', in their order."""
    errors = tuple(torch.cat(each) for each in zip(*(chunk.errors for chunk in chunks), strict=True))
    if len(errors) == 1:
        return Reconstruction(errors, errors[0], chunks[0].grad)
    rows = [chunk.rows.view(len(errors), -1, chunk.rows.shape[1]) for chunk in chunks]
    return Reconstruction(errors, torch.cat(rows, dim=1).flatten(0, 1), chunks[0].grad)


def _slices(prefixes: Sequence[int], d_sae: int) -> list[slice]:
    return [slice(*ends) for ends in pairwise((0, *prefixes, d_sae))]


def _nested(
    parts: Sequence[Float[Tensor, "batch d_in"]], x: Float[Tensor, "batch d_in"]
) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """From what each slice decodes to: the error of each prefix, and by slice the sum of errors it is part of."""
    errors = tuple(accumulate(parts[1:], initial=parts[0] - x))
    return errors, list(accumulate(reversed(errors)))[::-1]
