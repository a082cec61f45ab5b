"""The result of a training step: gradients, and what the history is computed from, if it asks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.sae.objective import Penalty
from pipeline.sae.sparse_step.codes import Codes, ParameterGrad
from pipeline.sae.sparse_step.dead_features import DeadStep, mean_square


@dataclass(frozen=True)
class ElementwiseStep:
    """Result of a step: gradients, and what the loss, L0 and dead features are computed from."""

    gradients: Mapping[str, ParameterGrad]
    sparse: bool
    codes: Codes
    f: Tensor  # values of the codes
    penalised: list[Tensor]  # of each penalty: values of the codes; [chunks, d_sae] if the batch was split
    flops: int  # of its matrix products
    penalties: tuple[Penalty, ...]
    errors: list[tuple[Float[Tensor, "batch d_in"], ...]]  # of each decoded term, by prefix: reconstruction minus x
    dead: DeadStep | None

    def fired(self) -> Bool[Tensor, " d_sae"]:
        return self.codes.fired(self.f)

    def l0(self) -> float:
        return (self.f > 0).sum().item() / self._batch

    @property
    def _batch(self) -> int:
        return len(self.errors[0][0])

    def terms(self) -> tuple[float, float, float]:
        """Reconstruction, sparsity and auxiliary term: means over the batch, summed exactly."""
        reconstruction, *others = [sum(map(mean_square, errors)) for errors in self.errors]
        means = [math.fsum(self.codes.sum(values).tolist()) / self._batch for values in self.penalised]
        sparsity = sum(penalty.value(mean) for penalty, mean in zip(self.penalties, means, strict=True))
        return reconstruction, sparsity, sum(others) + (self.dead.loss() if self.dead else 0.0)
