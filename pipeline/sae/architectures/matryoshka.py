"""Matryoshka SAEs (Bussmann et al., arXiv 2503.17547) with BatchTopK: the first features reconstruct by themselves."""

from dataclasses import dataclass

from pipeline.config.accepted import Count, Name
from pipeline.sae.architectures.batch_topk import BatchTopKSAE
from pipeline.sae.architectures.topk import TopKConfig
from pipeline.sae.objective import Decoded, Objective
from pipeline.sae.registry import register


@dataclass(frozen=True)
class MatryoshkaConfig(TopKConfig):
    name: Name = "matryoshka"
    levels: Count = 5  # each prefix has half as many features as the next


@register("matryoshka", MatryoshkaConfig)
class MatryoshkaSAE(BatchTopKSAE):
    """Sums the squared errors of nested prefixes of the dictionary: d_sae, d_sae / 2, d_sae / 4, ... features."""

    @property
    def objective(self) -> Objective:
        halves = (self.d_sae >> level for level in range(self.config.levels - 1, 0, -1))
        return Objective((Decoded("f", prefixes=tuple(m for m in halves if m)),), dead=self.dead_features())
