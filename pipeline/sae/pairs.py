"""The pairs of input and feature that a training step computes with: all of them, or only the active ones.

After the encoder's product, which must look at every feature, everything else of a step is zero wherever a feature is
silent. AllPairs and ActivePairs have the same operations; the latter leave the zeros out and approximate nothing. Each
number is summed by one thread in a fixed order, so that no bit depends on the number of threads.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae import kernels
from pipeline.sae.compiled import Array, split
from pipeline.sae.precision import FLOAT32, product

SPARSE_BELOW = {"cpu": 0.22, "cuda": 0.005}
"""Share of active pairs from which a step is dense, by kind of device (none: always dense).

On a CPU measured by benchmarks/crossover.py; on a GPU reckoned from an H200's bandwidth and bfloat16 rate.
Part of the numerics: a change of it is a change of bits.
"""


Decoded: TypeAlias = tuple[Tensor] | tuple[Tensor, Tensor]
"""Values of pairs: the features, and where an auxiliary term decodes something else, this too."""


class Reconstruction(NamedTuple):
    """Of some values, decoded to reconstruct x."""

    error: Float[Tensor, "batch d_in"]  # values @ W_dec - x
    teaching: Tensor  # at the pairs, scale * error @ W_dec^T


class Gathered(NamedTuple):
    """values^T @ rows, feature by feature, not formed: Adam takes it a row at a time."""

    starts: Int[Array, " d_sae+1"]  # where each feature's pairs begin, and the last's end
    row: Int[Array, " pairs"]
    values: Float[Array, " pairs"]
    rows: Float[Array, "batch d_in"]

    def formed(self) -> Float[Tensor, "d_sae d_in"]:
        return _weighted_rows(self.starts, self.row, self.values, torch.from_numpy(self.rows))


class Formable(Protocol):
    """A gradient of W_enc or W_dec, [d_sae, d_in], that is not formed yet."""

    def formed(self) -> Float[Tensor, "d_sae d_in"]: ...


Gradient: TypeAlias = Tensor | Formable


def formed(gradient: Gradient) -> Tensor:
    return gradient if isinstance(gradient, Tensor) else gradient.formed()


class Pairs(Protocol):
    """Values of pairs are [batch, d_sae] for all pairs, [pairs] for the active ones."""

    def spread(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        """A parameter of the features, as it meets the pairs' values."""
        ...

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        """values @ W_dec."""
        ...

    def reconstruct(
        self, decoded: Decoded, W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"], scale: float
    ) -> list[Reconstruction]:
        """What becomes of each of the values that are decoded."""
        ...

    def gather(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]]) -> Gradient:
        """The sum of values^T @ rows over the terms, [d_sae, d_in]."""
        ...

    def collect(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        """The gradient of a parameter from that of what `spread` made of it."""
        ...

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        """Sums over the batch."""
        ...

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        """Which features have a value above zero anywhere in the batch."""
        ...

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        """Values above zero by row, and by feature in the rows that are counted."""
        ...


@dataclass(frozen=True)
class AllPairs:
    """Dense matrix products."""

    precision: str = FLOAT32

    def spread(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return product(values, W_dec, self.precision)

    def reconstruct(
        self, decoded: Decoded, W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"], scale: float
    ) -> list[Reconstruction]:
        errors = [self.decode(values, W_dec) - x for values in decoded]
        return [Reconstruction(error, product(scale * error, W_dec.T, self.precision)) for error in errors]

    def gather(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]]) -> Gradient:
        first, *others = (product(values.T, rows, self.precision) for values, rows in terms)
        return sum(others, start=first)

    def collect(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
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


class ActivePairs:
    """The active pairs in the order of the batch (compressed rows) and in the order of the features; on a CPU."""

    def __init__(self, shape: torch.Size, row_start: Array, row: Array, feature: Array) -> None:
        self.shape, self._row_start, self._feature = shape, row_start, feature
        self._feature_start, self._by_feature = np.empty(shape[1] + 1, np.int64), np.empty(len(feature), np.int64)
        kernels.order_by_column(feature, self._feature_start, self._by_feature)
        self._row_by_feature = row[self._by_feature]
        self.row, self.feature = torch.from_numpy(row), torch.from_numpy(feature)

    def spread(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature.index_select(0, self.feature)

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return _weighted_rows(self._row_start, self._feature, values.numpy(), W_dec)

    def reconstruct(
        self, decoded: Decoded, W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"], scale: float
    ) -> list[Reconstruction]:
        made = [Reconstruction(torch.empty_like(x), torch.empty_like(values)) for values in decoded]
        values, errors, taught = (
            [tensor.numpy() for tensor in tensors] for tensors in (decoded, *zip(*made, strict=True))
        )
        table = W_dec.detach().numpy()
        arguments = (
            self._row_start,
            self._feature,
            *values,
            table,
            x.numpy(),
            table.dtype.type(scale),
            *errors,
            *taught,
        )
        loop = kernels.reconstruct if len(decoded) == 1 else kernels.reconstruct_both
        split(loop, arguments, self._row_start, 2 * len(decoded) * len(self._feature) * x.shape[1])
        return made

    def gather(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]]) -> Gradient:
        values = [values.numpy()[self._by_feature] for values, _ in terms]
        if len(terms) == 1:
            return Gathered(self._feature_start, self._row_by_feature, values[0], terms[0][1].numpy())
        # A pair's terms side by side, and the rows of one term below another's.
        row = self._row_by_feature[:, None] + np.arange(len(terms), dtype=np.int32) * self.shape[0]
        rows = torch.cat([rows for _, rows in terms]).numpy()
        return Gathered(len(terms) * self._feature_start, row.ravel(), np.stack(values, axis=1).ravel(), rows)

    def collect(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        return self.sum(gradient)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        sums = values.new_empty(self.shape[1])
        kernels.sums_by_column(self._feature, values.numpy(), sums.numpy())
        return sums

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        found = torch.empty(self.shape[1], dtype=torch.bool)
        kernels.positive_by_column(self._feature, values.numpy(), found.numpy())
        return found

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        batch, d_sae = self.shape
        row, feature = self.row[values > 0], self.feature[values > 0]
        by_row = torch.bincount(row, minlength=batch)
        return by_row, torch.bincount(feature[counted[row]], minlength=d_sae)


class Chosen(NamedTuple):
    """The pairs to compute with, and the encoder's products there."""

    pairs: Pairs
    products: Tensor
    sparse: bool


def choose_pairs(
    products: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"], precision: str = FLOAT32
) -> Chosen:
    """The pairs whose product exceeds their feature's threshold where they are few, else all.

    A function of shape and count alone (on a GPU of whether there is Triton too), never of a timing. On a GPU the host
    waits for the count, here and nowhere else in a step.
    """
    kind = products.device.type
    listed = _active_on_cpu if kind == "cpu" else _active_on_device
    found = listed(products.detach(), threshold.detach(), round(SPARSE_BELOW.get(kind, 0.0) * products.numel()))
    return Chosen(*found, True) if found else Chosen(AllPairs(precision), products, False)


def _active_on_device(products: Tensor, threshold: Tensor, most: int) -> tuple[Pairs, Tensor] | None:
    """The active pairs and their products, where there are fewer than `most` (and Triton, which Windows has not)."""
    active = products > threshold
    if find_spec("triton") is None or active.sum().item() >= most:
        return None
    from pipeline.sae.gpu.active_pairs import DevicePairs  # imports Triton

    pairs = DevicePairs(active)
    return pairs, products.flatten()[pairs.places]


def _active_on_cpu(products: Tensor, threshold: Tensor, most: int) -> tuple[Pairs, Tensor] | None:
    """As `_active_on_device`."""
    values = products.numpy()
    active, counts = _marks(products.shape), np.empty(len(values), np.int64)
    split(kernels.mark, (values, threshold.numpy(), active, counts), len(values), 8 * values.size)
    row_start = np.zeros(len(values) + 1, np.int64)
    np.cumsum(counts, out=row_start[1:])
    count = row_start[-1]
    if count >= most:
        return None
    row, feature, listed = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, values.dtype)
    arguments = (active, values, row_start, row, feature, listed)
    split(kernels.list_marked, arguments, row_start, 8 * values.size)
    return ActivePairs(products.shape, row_start, row, feature), torch.from_numpy(listed)


@lru_cache(maxsize=2)
def _marks(shape: torch.Size) -> Array:
    """Memory for marks, used again: fresh pages for every step would cost as much as the marking."""
    return np.empty(shape, np.bool_)


def _weighted_rows(starts: Array, index: Array, weights: Array, table: Tensor) -> Tensor:
    """Weighted sums of a table's rows by group."""
    out = table.new_empty(len(starts) - 1, table.shape[1])
    arguments = (starts, index, weights, table.detach().numpy(), out.numpy())
    split(kernels.weighted_rows, arguments, starts, len(index) * table.shape[1])
    return out
