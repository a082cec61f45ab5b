"""The baseline of the paper: ReLU features and an L1 penalty on them (section 2.2, equations 1-4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.config.accepted import Expansion, Name
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.codes_cpu import ActivePairs
from pipeline.sae.sparse_step.step import Activations, Differentiable, ElementwiseSAE, Products, Teaching


@dataclass(frozen=True)
class BaselineConfig:
    name: Name = "baseline"
    expansion: Expansion = 6.0


@register("baseline", BaselineConfig)
class BaselineSAE(ElementwiseSAE):
    """f = ReLU((x - b_dec) W_enc + b_enc)."""

    feature_parameters: ClassVar[tuple[str, ...]] = ("b_enc",)
    gate_bias: ClassVar[str] = "b_enc"
    dense_products: ClassVar[int | None] = 5
    """Two of the encoder; decoding f, and the gradients of f and W_dec."""
    b_enc: nn.Parameter

    def activations(self, products: Products, parameters: Mapping[str, Tensor]) -> Activations:
        """Equation 2; equation 4 penalises the features themselves."""
        f = torch.relu(products.live + parameters["b_enc"])
        return Activations(f, None, f)

    def over_active_pairs(self, pairs: ActivePairs, products: Tensor) -> Differentiable:
        return Linear(self, pairs, products)

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        return ("b_enc",)


class Linear:
    """As `ByAutograd` of a baseline, over active pairs, in all of which its ReLU is the identity."""

    def __init__(self, sae: BaselineSAE, pairs: ActivePairs, products: Tensor) -> None:
        self._pairs, self._f = pairs, products + pairs.spread(sae.b_enc.detach())

    @property
    def activations(self) -> Activations:
        return Activations(self._f, None, self._f)

    def teaching(self, of_penalised: float, of_f: Tensor, of_gate: Tensor | None = None) -> Teaching:
        of_products = of_f + of_penalised
        summed = self._pairs.sum(of_products)
        return Teaching(of_products, summed, {"b_enc": summed})
