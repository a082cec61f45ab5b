"""TopK SAEs (Gao et al., arXiv 2406.04093): the k features with the largest pre-activations, and no penalty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.config.accepted import Count, CountOrZero, Expansion, Name, Positive
from pipeline.sae.architectures.baseline import ReLUOnActive
from pipeline.sae.base import PerFeature
from pipeline.sae.objective import DeadFeatures, Decoded, Objective, StepContext, Values
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.activation import ActivationVJP, PreActs
from pipeline.sae.sparse_step.codes_cpu import SparseCodes
from pipeline.sae.sparse_step.selectors import Selector, TopK
from pipeline.sae.sparse_step.step import ElementwiseSAE


@dataclass(frozen=True)
class TopKConfig:
    AXIS = "k"
    name: Name = "topk"
    expansion: Expansion = 4.0
    k: Count = 32  # active features per input
    aux_k: CountOrZero | None = None  # dead features that reconstruct the residual; None: d_in / 2, 0: no such term
    aux_weight: Positive = 1 / 32
    dead_steps: Count = 1000  # a feature is dead that has been silent for this many steps


@register("topk", TopKConfig)
class TopKSAE(ElementwiseSAE):
    """f = TopK(ReLU((x - b_dec) W_enc + b_enc)); the loss is the squared error, and AuxK's."""

    feature_parameters: ClassVar[tuple[PerFeature, ...]] = (PerFeature("b_enc"),)
    b_enc: nn.Parameter

    @property
    def selector(self) -> Selector:
        return TopK(self.config.k)

    @property
    def objective(self) -> Objective:
        return Objective((Decoded("f"),), dead=self.dead_features())

    def dead_features(self) -> DeadFeatures | None:
        k = self.d_in // 2 if self.config.aux_k is None else self.config.aux_k
        return DeadFeatures(k, self.config.aux_weight, self.config.dead_steps) if k else None

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor], at: StepContext | None) -> Values:
        return {"f": torch.relu(pre_acts.value + parameters["b_enc"])}

    def sparse_vjp(self, codes: SparseCodes, pre_acts: Tensor, at: StepContext | None) -> ActivationVJP:
        return ReLUOnActive(self.b_enc, codes, pre_acts)
