"""BatchTopK SAEs (Bussmann et al., arXiv 2412.06410): k features per input on average, chosen over the batch."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline.config.accepted import Name
from pipeline.sae.architectures.topk import TopKConfig, TopKSAE
from pipeline.sae.objective import StepContext
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.codes import Codes
from pipeline.sae.sparse_step.selectors import BatchTopK, Selector

RATE = 0.01
"""Of the running mean of thresholds, per batch."""


@dataclass(frozen=True)
class BatchTopKConfig(TopKConfig):
    name: Name = "batch_topk"


@register("batch_topk", BatchTopKConfig)
class BatchTopKSAE(TopKSAE):
    """As TopKSAE, but the k * batch largest entries of a batch are active.

    At inference a feature is active above `running_threshold`, the running mean over training batches of the smallest
    active entry, so that an input's features do not depend on other inputs.
    """

    feature_buffers: ClassVar[tuple[str, ...]] = ("running_threshold",)
    running_threshold: Tensor

    def __init__(self, config: Any, d_in: int, d_sae: int) -> None:
        super().__init__(config, d_in, d_sae)
        self.register_buffer("running_threshold", torch.zeros(d_sae))

    @property
    def selector(self) -> Selector:
        return BatchTopK(self.config.k)

    def observe(self, codes: Codes, pre_acts: Tensor, at: StepContext) -> None:
        scores = codes.selected(torch.relu(pre_acts + codes.expand(self.b_enc)))
        if (scores > 0).any():
            smallest = scores[scores > 0].min()
            self.running_threshold.lerp_(smallest, 1.0 if at.step == 0 else RATE)
