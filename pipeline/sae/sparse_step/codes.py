"""The pairs of input and feature that a training step computes with: all of them, or only the active ones.

After the encoder's product, which must look at every feature, everything else of a step is zero wherever a feature is
silent. All pairs, and the active ones on a CPU (active_pairs.py) or a GPU (gpu/active_pairs.py), have the same
operations; the latter leave the zeros out and approximate nothing. Each number is summed by one thread in fixed order,
so that no bit depends on the number of threads.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.precision import FLOAT32, product

Decoded: TypeAlias = tuple[Tensor] | tuple[Tensor, Tensor]
"""Values of pairs: the features, and where an auxiliary term decodes something else, this too."""


class Reconstruction(NamedTuple):
    """Of some values, decoded to reconstruct x."""

    error: Float[Tensor, "batch d_in"]  # values @ W_dec - x
    teaching: Tensor  # at the pairs, scale * error @ W_dec^T


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

    def gather(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]], scale: float = 1.0) -> Gradient:
        """The sum of (scale * values)^T @ rows over the terms, [d_sae, d_in]."""
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

    def gather(self, *terms: tuple[Tensor, Float[Tensor, "batch d_in"]], scale: float = 1.0) -> Gradient:
        first, *others = terms
        total = self._gather(*first, scale)
        for each in others:
            total += self._gather(*each, scale)
        return total

    def _gather(self, values: Tensor, rows: Float[Tensor, "batch d_in"], scale: float) -> Tensor:
        return product((values if scale == 1.0 else scale * values).T, rows, self.precision)

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


class ListedPairs:
    """What active pairs have in common wherever they lie: `row` and `feature` of each, in the order of the batch."""

    shape: torch.Size
    row: Int[Tensor, " pairs"]
    feature: Int[Tensor, " pairs"]

    def spread(self, by_feature: Float[Tensor, " d_sae"]) -> Tensor:
        return by_feature.index_select(0, self.feature)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        raise NotImplementedError

    def collect(self, gradient: Tensor) -> Float[Tensor, " d_sae"]:
        return self.sum(gradient)

    def counts(
        self, values: Tensor, counted: Bool[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " d_sae"]]:
        batch, d_sae = self.shape
        row, feature = self.row[values > 0], self.feature[values > 0]
        by_row = torch.bincount(row, minlength=batch)
        return by_row, torch.bincount(feature[counted[row]], minlength=d_sae)
