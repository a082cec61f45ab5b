"""What an SAE minimises, as its architecture declares it: decoded terms, penalties, a term for dead features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

T = TypeVar("T", float, Tensor)


@dataclass(frozen=True)
class StepContext:
    """What a training step is told next to its batch."""

    sparsity_coefficient: float = 0.0  # lambda, or what its warm-up has reached
    step: int = 0
    steps: int = 1
    steps_silent: Int[Tensor, " d_sae"] | None = None  # for how many steps each feature has been silent


@dataclass(frozen=True)
class Decoded:
    """A term ||x - a @ W_dec - b_dec||^2 of the activations a, summed over dimensions.

    With `prefixes` it has a further term for the first m features alone, for each m among them (Matryoshka SAEs,
    arXiv 2503.17547).
    """

    of: str  # the activations' name
    trains_decoder: bool = True  # false: W_dec and b_dec are frozen copies in this term
    prefixes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Penalty:
    """A term lambda * S, where S is the sum of the activations `of` over features, averaged over the batch.

    With `target` it is lambda * (S / target - 1)^2.
    """

    of: str
    target: float | None = None

    def value(self, mean: T) -> T:
        """What lambda multiplies, from S."""
        return mean if self.target is None else (mean / self.target - 1) ** 2

    def slope(self, mean: float) -> float:
        """The derivative of `value`."""
        return 1.0 if self.target is None else 2 * (mean / self.target - 1) / self.target


@dataclass(frozen=True)
class DeadFeatures:
    """AuxK (Gao et al., arXiv 2406.04093, appendix A.2): dead features reconstruct what the others leave.

    weight * ||e - e_hat||^2 with the residual e = x - x_hat, through which no gradient flows. e_hat is decoded without
    b_dec, from the k dead features with the largest pre-activations.
    """

    k: int
    weight: float = 1 / 32
    silent_steps: int = 1000  # a feature is dead that has been silent for this many steps

    def dead(self, at: StepContext) -> Int[Tensor, " n"]:
        if at.steps_silent is None:
            return torch.zeros(0, dtype=torch.int64)
        return torch.nonzero(at.steps_silent >= self.silent_steps)[:, 0]


class Objective(NamedTuple):
    """The loss: sums over dimensions or features, means over the batch."""

    decoded: tuple[Decoded, ...]  # the first is the reconstruction by the features f
    penalties: tuple[Penalty, ...] = ()
    dead: DeadFeatures | None = None

    @property
    def features(self) -> str:
        """The name of the features f among the activations."""
        return self.decoded[0].of


Values = Mapping[str, Tensor]
"""Activations by name: the shape of the pre-activations, zero for inactive features."""
