"""The Gated SAE whose auxiliary loss trains the decoder too: the paper's ablation "unfreeze decoder" (figure 8)."""

from dataclasses import dataclass

from pipeline.config.accepted import Expansion, Name
from pipeline.sae.architectures.gated import GatedSAE
from pipeline.sae.objective import Decoded, Objective, Penalty
from pipeline.sae.registry import register


@dataclass(frozen=True)
class GatedUnfrozenConfig:
    name: Name = "gated_unfrozen"
    expansion: Expansion = 4.0
    stop_pre_bias: bool = False


@register("gated_unfrozen", GatedUnfrozenConfig)
class GatedUnfrozenSAE(GatedSAE):
    """As GatedSAE: same loss, but its auxiliary term has a gradient with respect to W_dec and b_dec."""

    objective = Objective((Decoded("f"), Decoded("gate")), (Penalty("gate"),))
