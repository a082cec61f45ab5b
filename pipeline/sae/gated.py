"""The Gated SAE (section 3.2 of the paper, equations 6-8): one path decides which features fire, one how much."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.sae.base import SAE, Losses, l1, squared_error
from pipeline.sae.registry import register


@dataclass(frozen=True)
class GatedConfig:
    name: str = "gated"
    expansion: float = 4.0
    stop_pre_bias: bool = False


@register("gated", GatedConfig)
class GatedSAE(SAE):
    """f = 1[pi_gate > 0] * ReLU(exp(r_mag) * (x - b_dec) W_enc + b_mag), pi_gate = (x - b_dec) W_enc + b_gate."""

    feature_parameters: ClassVar[tuple[str, ...]] = ("b_gate", "r_mag", "b_mag")
    b_gate: nn.Parameter
    r_mag: nn.Parameter
    b_mag: nn.Parameter

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        """Equations 6 and 7."""
        product, shift = x @ self.W_enc, self.b_dec @ self.W_enc
        return self._features(product, shift, product + (self.b_gate - shift))

    def _features(self, product: Tensor, shift: Tensor, pi_gate: Tensor) -> Float[Tensor, "batch d_sae"]:
        """Equation 6 from x W_enc, b_dec W_enc and the gate's pre-activations."""
        scale = self.r_mag.exp()
        magnitude = torch.relu(torch.addcmul(self.b_mag - shift * scale, product, scale))
        return magnitude * (pi_gate > 0)

    def training_losses(self, x: Float[Tensor, "batch d_in"]) -> Losses:
        """Equation 8; neither the auxiliary nor the sparsity term reaches W_dec, nor b_dec as a decoder's bias.

        Both reach b_dec as the pre-encoder bias, as in the paper's pseudo-code, unless `stop_pre_bias`.
        """
        product, shift = x @ self.W_enc, self.b_dec @ self.W_enc
        gate_shift = self.b_dec.detach() @ self.W_enc if self.config.stop_pre_bias else shift
        pi_gate = product + (self.b_gate - gate_shift)
        f = self._features(product, shift, pi_gate)
        via_gate = torch.relu(pi_gate)
        frozen = torch.addmm(self.b_dec.detach(), via_gate, self.W_dec.detach())
        return Losses(squared_error(x, self.decode(f)), l1(via_gate), squared_error(x, frozen), f.detach())

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        return ("b_gate", "b_mag")

    def threshold(self) -> Float[Tensor, " d_sae"]:
        """theta of the JumpReLU that this SAE is (appendix E): f = z 1[z > theta] for z > 0, z the magnitude path."""
        return self.b_mag - self.r_mag.exp() * self.b_gate
