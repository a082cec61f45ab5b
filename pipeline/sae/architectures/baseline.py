"""The baseline of the paper: ReLU features and an L1 penalty on them (section 2.2, equations 1-4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.config.accepted import Expansion, Name
from pipeline.sae.base import PerFeature
from pipeline.sae.objective import Decoded, Objective, Penalty, StepContext, Values
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.activation import ActivationGrads, ActivationVJP, PreActs
from pipeline.sae.sparse_step.codes_cpu import SparseCodes
from pipeline.sae.sparse_step.step import ElementwiseSAE


@dataclass(frozen=True)
class BaselineConfig:
    name: Name = "baseline"
    expansion: Expansion = 6.0


@register("baseline", BaselineConfig)
class BaselineSAE(ElementwiseSAE):
    """f = ReLU((x - b_dec) W_enc + b_enc)."""

    feature_parameters: ClassVar[tuple[PerFeature, ...]] = (PerFeature("b_enc"),)
    objective = Objective((Decoded("f"),), (Penalty("f"),))  # equation 4
    b_enc: nn.Parameter

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor], at: StepContext | None) -> Values:
        """Equation 2."""
        return {"f": torch.relu(pre_acts.value + parameters["b_enc"])}

    def sparse_vjp(self, codes: SparseCodes, pre_acts: Tensor, at: StepContext | None) -> ActivationVJP:
        return ReLUOnActive(self.b_enc, codes, pre_acts)


class ReLUOnActive:
    """As `AutogradVJP` of f = ReLU(pre_acts + bias) on its active entries, where the ReLU is the identity."""

    def __init__(self, bias: Tensor, codes: SparseCodes, pre_acts: Tensor) -> None:
        self._codes, self.values = codes, {"f": pre_acts + codes.expand(bias.detach())}

    def backward(self, grads: Values) -> ActivationGrads:
        summed = self._codes.sum(grads["f"])
        return ActivationGrads(grads["f"], summed, {"b_enc": summed})
