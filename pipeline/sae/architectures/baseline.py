"""The baseline of the paper: ReLU features and an L1 penalty on them (section 2.2, equations 1-4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.config.accepted import Expansion, Name
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.activation import ActivationGrads, Activations, ActivationVJP, PreActs
from pipeline.sae.sparse_step.codes_cpu import SparseCodes
from pipeline.sae.sparse_step.step import ElementwiseSAE


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
    """Two for the encoder; decoding f, and the gradients of f and W_dec."""
    b_enc: nn.Parameter

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor]) -> Activations:
        """Equation 2; equation 4 penalises the features themselves."""
        f = torch.relu(pre_acts.value + parameters["b_enc"])
        return Activations(f, None, f)

    def sparse_vjp(self, codes: SparseCodes, pre_acts: Tensor) -> ActivationVJP:
        return ReLUOnActive(self, codes, pre_acts)

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        return ("b_enc",)


class ReLUOnActive:
    """As `AutogradVJP` of a baseline on its active entries, where its ReLU is the identity."""

    def __init__(self, sae: BaselineSAE, codes: SparseCodes, pre_acts: Tensor) -> None:
        self._codes, self._f = codes, pre_acts + codes.expand(sae.b_enc.detach())

    @property
    def activations(self) -> Activations:
        return Activations(self._f, None, self._f)

    def backward(self, grad_penalty: float, grad_f: Tensor, grad_gate: Tensor | None = None) -> ActivationGrads:
        grad_pre_acts = grad_f + grad_penalty
        summed = self._codes.sum(grad_pre_acts)
        return ActivationGrads(grad_pre_acts, summed, {"b_enc": summed})
