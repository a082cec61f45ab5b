"""The baseline of the paper: ReLU features and an L1 penalty on them (section 2.2, equations 1-4)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.sae.base import SAE, Losses, l1, squared_error
from pipeline.sae.registry import register


@dataclass(frozen=True)
class BaselineConfig:
    name: str = "baseline"
    expansion: float = 6.0


@register("baseline", BaselineConfig)
class BaselineSAE(SAE):
    """f = ReLU((x - b_dec) W_enc + b_enc)."""

    feature_parameters: ClassVar[tuple[str, ...]] = ("b_enc",)
    b_enc: nn.Parameter

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        """Equation 2."""
        return torch.relu(torch.addmm(self.b_enc - self.b_dec @ self.W_enc, x, self.W_enc))

    def training_losses(self, x: Float[Tensor, "batch d_in"]) -> Losses:
        """Equation 4."""
        f = self.encode(x)
        return Losses(squared_error(x, self.decode(f)), l1(f), x.new_zeros(()), f.detach())

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        return ("b_enc",)
