"""The Gated SAE (section 3.2 of the paper, equations 6-8): one path decides which features fire, one how much."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.sae.elementwise import Activations, ElementwiseSAE, Products
from pipeline.sae.registry import register


@dataclass(frozen=True)
class GatedConfig:
    name: str = "gated"
    expansion: float = 4.0
    stop_pre_bias: bool = False


@register("gated", GatedConfig)
class GatedSAE(ElementwiseSAE):
    """f = 1[pi_gate > 0] * ReLU(exp(r_mag) * (x - b_dec) W_enc + b_mag), pi_gate = (x - b_dec) W_enc + b_gate."""

    feature_parameters: ClassVar[tuple[str, ...]] = ("b_gate", "r_mag", "b_mag")
    gate_bias: ClassVar[str] = "b_gate"
    b_gate: nn.Parameter
    r_mag: nn.Parameter
    b_mag: nn.Parameter

    def activations(self, products: Products, parameters: Mapping[str, Tensor]) -> Activations:
        """Equations 6 and 7; equation 8 penalises the gate and decodes it, frozen, for its auxiliary term.

        Both terms reach b_dec as the pre-encoder bias, as in the paper's pseudo-code, unless `stop_pre_bias`.
        """
        for_gate = products.stopped if self.config.stop_pre_bias else products.live
        pi_gate = for_gate + parameters["b_gate"]
        magnitude = torch.relu(torch.addcmul(parameters["b_mag"], products.live, parameters["r_mag"].exp()))
        gate = torch.relu(pi_gate)
        return Activations(magnitude * (pi_gate > 0), gate, gate)

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        return ("b_gate", "b_mag")

    def threshold(self) -> Float[Tensor, " d_sae"]:
        """theta of the JumpReLU that this SAE is (appendix E): f = z 1[z > theta] for z > 0, z the magnitude path."""
        return self.b_mag - self.r_mag.exp() * self.b_gate
