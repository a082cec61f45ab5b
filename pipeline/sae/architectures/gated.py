"""The Gated SAE (section 3.2 of the paper, equations 6-8): one path decides which features fire, one how much."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.config.accepted import Expansion, Name
from pipeline.sae.kernels.jit import Array, exact
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.codes_cpu import ActivePairs
from pipeline.sae.sparse_step.step import Activations, Differentiable, ElementwiseSAE, Products, Teaching


@dataclass(frozen=True)
class GatedConfig:
    name: Name = "gated"
    expansion: Expansion = 4.0
    stop_pre_bias: bool = False


@register("gated", GatedConfig)
class GatedSAE(ElementwiseSAE):
    """f = 1[pi_gate > 0] * ReLU(exp(r_mag) * (x - b_dec) W_enc + b_mag), pi_gate = (x - b_dec) W_enc + b_gate."""

    feature_parameters: ClassVar[tuple[str, ...]] = ("b_gate", "r_mag", "b_mag")
    gate_bias: ClassVar[str] = "b_gate"
    dense_products: ClassVar[int | None] = 7
    """Two of the encoder; decoding f, and the gradients of f and W_dec; decoding the gate, and its gradient."""
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

    def over_active_pairs(self, pairs: ActivePairs, products: Tensor) -> Differentiable:
        return Loops(self, pairs, products)

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        return ("b_gate", "b_mag")

    def threshold(self) -> Float[Tensor, " d_sae"]:
        """theta of the JumpReLU that this SAE is (appendix E): f = z 1[z > theta] for z > 0, z the magnitude path."""
        return self.b_mag - self.r_mag.exp() * self.b_gate


class Loops:
    """As `ByAutograd` of a Gated SAE, over active pairs: two compiled loops on a CPU."""

    def __init__(self, sae: GatedSAE, pairs: ActivePairs, products: Tensor) -> None:
        self._sae, self._products = sae, products
        self._feature, self._magnitude = pairs.feature.numpy(), sae.r_mag.detach().exp().numpy()
        self._f, self._gate = torch.empty_like(products), torch.empty_like(products)
        biases = sae.b_gate.detach().numpy(), sae.b_mag.detach().numpy()
        _forward(self._feature, products.numpy(), *biases, self._magnitude, self._f.numpy(), self._gate.numpy())

    @property
    def activations(self) -> Activations:
        return Activations(self._f, self._gate, self._gate)

    def teaching(self, of_penalised: float, of_f: Tensor, of_gate: Tensor | None = None) -> Teaching:
        assert of_gate is not None
        products, stop = torch.empty_like(of_f), self._sae.config.stop_pre_bias
        of_features = {name: of_f.new_empty(self._sae.d_sae) for name in ("live", "b_gate", "r_mag", "b_mag")}
        given = [tensor.numpy() for tensor in (self._products, self._f, of_f, of_gate)]
        made = [tensor.numpy() for tensor in (products, *of_features.values())]
        factor = self._magnitude.dtype.type(of_penalised)
        _backward(self._feature, *given, self._magnitude, factor, stop, *made)
        return Teaching(products, of_features.pop("live"), of_features)


@exact
def _forward(
    feature: Int[Array, " pairs"], products: Float[Array, " pairs"], b_gate: Float[Array, " d_sae"],
    b_mag: Float[Array, " d_sae"], magnitude: Float[Array, " d_sae"], f: Float[Array, " pairs"],
    gate: Float[Array, " pairs"],
) -> None:  # fmt: skip
    """Where pi_gate is above zero, as it is in every active pair."""
    for pair, i in enumerate(feature):
        gate[pair] = products[pair] + b_gate[i]
        f[pair] = max(magnitude[i] * products[pair] + b_mag[i], b_mag.dtype.type(0))


@exact
def _backward(
    feature: Int[Array, " pairs"], products: Float[Array, " pairs"], f: Float[Array, " pairs"],
    of_f: Float[Array, " pairs"], of_gate: Float[Array, " pairs"], magnitude: Float[Array, " d_sae"],
    of_penalised: float, stop_pre_bias: bool, of_products: Float[Array, " pairs"], live: Float[Array, " d_sae"],
    of_b_gate: Float[Array, " d_sae"], of_r_mag: Float[Array, " d_sae"], of_b_mag: Float[Array, " d_sae"],
) -> None:  # fmt: skip
    live[:], of_b_gate[:], of_r_mag[:], of_b_mag[:] = 0, 0, 0, 0
    zero = of_f.dtype.type(0)
    for pair, i in enumerate(feature):
        of_pi_gate = of_gate[pair] + of_penalised
        of_pi_mag = of_f[pair] if f[pair] > 0 else zero
        through_magnitude = of_pi_mag * magnitude[i]
        of_products[pair] = through_magnitude + of_pi_gate
        live[i] += through_magnitude if stop_pre_bias else of_products[pair]
        of_b_gate[i] += of_pi_gate
        of_b_mag[i] += of_pi_mag
        of_r_mag[i] += through_magnitude * products[pair]
