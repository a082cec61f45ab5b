"""The pairs of input and feature that a training step computes with: all of them, or only the active ones.

After the encoder's product, which must look at every feature, everything else of a step is zero wherever a feature is
silent. Both classes have the same operations; the sparse ones leave the zeros out and approximate nothing. Each number
they give is summed by one thread in a fixed order, so that no bit depends on the number of threads.
"""

import warnings
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")

SPARSE_BELOW = {"cpu": 0.22}
"""Share of active pairs from which a step is dense, by kind of device (none: always dense).

Measured by benchmarks/crossover.py. Part of the numerics: a change of it is a change of bits.
"""


class Pairs(Protocol):
    """Values of pairs are [batch, d_sae] for all pairs, [pairs] for the active ones."""

    def select(self, dense: Float[Tensor, "batch d_sae"]) -> Tensor:
        """The pairs' values out of a dense matrix."""
        ...

    def spread(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        """A parameter of the features, as it meets the pairs' values."""
        ...

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        """values @ W_dec."""
        ...

    def products(self, error: Float[Tensor, "batch d_in"], W_dec: Float[Tensor, "d_sae d_in"], scale: float) -> Tensor:
        """scale * error @ W_dec^T, at the pairs."""
        ...

    def gather(self, values: Tensor, rows: Float[Tensor, "batch d_in"]) -> Float[Tensor, "d_sae d_in"]:
        """values^T @ rows."""
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


class AllPairs:
    """Dense matrix products."""

    def select(self, dense: Float[Tensor, "batch d_sae"]) -> Tensor:
        return dense

    def spread(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return values @ W_dec

    def products(self, error: Float[Tensor, "batch d_in"], W_dec: Float[Tensor, "d_sae d_in"], scale: float) -> Tensor:
        return (scale * error) @ W_dec.T

    def gather(self, values: Tensor, rows: Float[Tensor, "batch d_in"]) -> Float[Tensor, "d_sae d_in"]:
        return values.T @ rows

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
    """The active pairs in the order of the batch (compressed rows) and in the order of the features."""

    def __init__(self, active: Bool[Tensor, "batch d_sae"]) -> None:
        self.shape = active.shape
        batch, d_sae = active.shape
        self.flat = _positions(active)
        self.row = self.flat // d_sae
        self.feature = self.flat - self.row * d_sae
        self.row_start = _starts(self.row, batch)
        self.by_feature = _stable_order(self.feature, d_sae)
        self.row_by_feature = self.row.index_select(0, self.by_feature)
        self.feature_start = _starts(self.feature, d_sae)

    def select(self, dense: Float[Tensor, "batch d_sae"]) -> Tensor:
        return dense.view(-1).index_select(0, self.flat)

    def spread(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature.index_select(0, self.feature)

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return _weighted_rows(W_dec, self.feature, self.row_start, values)

    def products(self, error: Float[Tensor, "batch d_in"], W_dec: Float[Tensor, "d_sae d_in"], scale: float) -> Tensor:
        zeros = error.new_zeros(len(self.flat))
        pattern = torch.sparse_csr_tensor(self.row_start, self.feature, zeros, self.shape, check_invariants=False)
        products: Tensor = torch.sparse.sampled_addmm(pattern, error, W_dec.T, beta=0.0, alpha=scale).values()
        return products

    def gather(self, values: Tensor, rows: Float[Tensor, "batch d_in"]) -> Float[Tensor, "d_sae d_in"]:
        return _weighted_rows(rows, self.row_by_feature, self.feature_start, values.index_select(0, self.by_feature))

    def collect(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        return self.sum(gradient)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        return values.new_zeros(self.shape[1]).index_add_(0, self.feature, values)

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        found = torch.zeros(self.shape[1], dtype=torch.bool, device=values.device)
        found[self.feature[values > 0]] = True
        return found

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        batch, d_sae = self.shape
        row, feature = self.row[values > 0], self.feature[values > 0]
        by_row = torch.bincount(row, minlength=batch)
        return by_row, torch.bincount(feature[counted[row]], minlength=d_sae)


def choose_pairs(active: Bool[Tensor, "batch d_sae"]) -> tuple[Pairs, bool]:
    """All pairs, or the active ones where they are few: a function of shape and count alone, never of a timing."""
    share = SPARSE_BELOW.get(active.device.type)
    if share is not None and _count(active) < share * active.numel():
        return ActivePairs(active), True
    return AllPairs(), False


def exceeding(values: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"]) -> Bool[Tensor, "batch d_sae"]:
    """values > threshold."""
    if values.device.type == "cpu":  # on one core NumPy compares, counts and finds two to five times as fast as torch
        return torch.from_numpy(np.greater(values.detach().numpy(), threshold.detach().numpy()))
    return values > threshold


def _count(active: Bool[Tensor, "batch d_sae"]) -> int:
    return int(np.count_nonzero(active.numpy()) if active.device.type == "cpu" else active.count_nonzero())


def _positions(active: Bool[Tensor, "batch d_sae"]) -> Int[Tensor, " pairs"]:
    """Where the active pairs stand in the flattened matrix, in order."""
    if active.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(active.numpy()))
    return active.view(-1).nonzero()[:, 0]


def _starts(sorted_or_not: Int[Tensor, " pairs"], count: int) -> Int[Tensor, " count+1"]:
    """Where each group begins in an order by group, and where the last ends."""
    starts = sorted_or_not.new_zeros(count + 1)
    torch.cumsum(torch.bincount(sorted_or_not, minlength=count), 0, out=starts[1:])
    return starts


def _stable_order(keys: Int[Tensor, " pairs"], below: int) -> Int[Tensor, " pairs"]:
    """The order that sorts keys, equal ones as they stood."""
    if keys.device.type == "cpu" and below <= 2**16:  # NumPy sorts 16 bits by radix, five times as fast as torch
        return torch.from_numpy(np.argsort(keys.numpy().astype(np.uint16), kind="stable"))
    return torch.sort(keys, stable=True).indices


def _weighted_rows(
    table: Float[Tensor, "n d"], index: Int[Tensor, " pairs"], starts: Int[Tensor, " groups+1"], weights: Tensor
) -> Float[Tensor, "groups d"]:
    """Weighted sums of a table's rows by group: a sparse matrix times a dense one, twice as fast here as MKL's."""
    return functional.embedding_bag(
        index, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )
