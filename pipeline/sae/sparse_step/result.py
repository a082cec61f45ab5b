"""What a training step over pairs leaves: gradients, and what loss, L0 and dead features are read off."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.sae.sparse_step.codes import Gradient, Pairs


@dataclass(frozen=True)
class PairsStep:
    """What a training step of an elementwise SAE leaves."""

    gradients: Mapping[str, Gradient]
    sparse: bool
    pairs: Pairs
    f: Tensor  # at the pairs
    penalised: Tensor  # at the pairs; of a batch in parts [parts, d_sae]
    flops: int  # of its matrix products
    error: Float[Tensor, "batch d_in"]  # x_hat - x
    gate_error: Float[Tensor, "batch d_in"] | None = None

    def fired(self) -> Bool[Tensor, " d_sae"]:
        return self.pairs.fired(self.f)

    def l0(self) -> float:
        return (self.f > 0).sum().item() / len(self.error)

    def terms(self) -> tuple[float, float, float]:
        """Each a mean over the batch, summed exactly."""
        sparsity = math.fsum(self.pairs.sum(self.penalised).tolist()) / len(self.error)
        return _mean_square(self.error), sparsity, _mean_square(self.gate_error)


def _mean_square(error: Float[Tensor, "batch d_in"] | None) -> float:
    return 0.0 if error is None else math.fsum(error.double().square().sum(1).tolist()) / len(error)
