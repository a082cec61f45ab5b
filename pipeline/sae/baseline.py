"""The baseline of the paper: ReLU features and an L1 penalty on them (section 2.2, equations 1-4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.sae.elementwise import Activations, ElementwiseSAE, Products
from pipeline.sae.registry import register


@dataclass(frozen=True)
class BaselineConfig:
    name: str = "baseline"
    expansion: float = 6.0


@register("baseline", BaselineConfig)
class BaselineSAE(ElementwiseSAE):
    """f = ReLU((x - b_dec) W_enc + b_enc)."""

    feature_parameters: ClassVar[tuple[str, ...]] = ("b_enc",)
    gate_bias: ClassVar[str] = "b_enc"
    b_enc: nn.Parameter

    def activations(self, products: Products, parameters: Mapping[str, Tensor]) -> Activations:
        """Equation 2; equation 4 penalises the features themselves."""
        f = torch.relu(products.live + parameters["b_enc"])
        return Activations(f, None, f)

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        return ("b_enc",)
