"""The Gated SAE (section 3.2 of the paper, equations 6-8): one path decides which features fire, one how much.

Its loss is summed up, and differentiated, in pipeline/sae/sparse_step/step.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.config.accepted import Expansion, Name
from pipeline.sae.base import PerFeature
from pipeline.sae.kernels.jit import Array, jit
from pipeline.sae.objective import Decoded, Objective, Penalty, StepContext, Values
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.activation import ActivationGrads, ActivationVJP, PreActs
from pipeline.sae.sparse_step.codes_cpu import SparseCodes
from pipeline.sae.sparse_step.step import ElementwiseSAE


@dataclass(frozen=True)
class GatedConfig:
    name: Name = "gated"
    expansion: Expansion = 4.0
    stop_pre_bias: bool = False


@register("gated", GatedConfig)
class GatedSAE(ElementwiseSAE):
    """f = 1[pi_gate > 0] * ReLU(exp(r_mag) * (x - b_dec) W_enc + b_mag), pi_gate = (x - b_dec) W_enc + b_gate."""

    feature_parameters: ClassVar[tuple[PerFeature, ...]] = (
        PerFeature("b_gate"),
        PerFeature("r_mag", scales=False),
        PerFeature("b_mag"),
    )
    gate_bias: ClassVar[str] = "b_gate"
    objective = Objective((Decoded("f"), Decoded("gate", trains_decoder=False)), (Penalty("gate"),))  # equation 8
    b_gate: nn.Parameter
    r_mag: nn.Parameter
    b_mag: nn.Parameter

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor], at: StepContext | None) -> Values:
        """Equations 6 and 7.

        Penalty and auxiliary term reach b_dec as the pre-encoder bias, as in the paper's pseudo-code, unless
        `stop_pre_bias`.
        """
        for_gate = pre_acts.b_dec_detached if self.config.stop_pre_bias else pre_acts.value
        pi_gate = for_gate + parameters["b_gate"]
        magnitude = torch.relu(torch.addcmul(parameters["b_mag"], pre_acts.value, parameters["r_mag"].exp()))
        return {"f": magnitude * (pi_gate > 0), "gate": torch.relu(pi_gate)}

    def sparse_vjp(self, codes: SparseCodes, pre_acts: Tensor, at: StepContext | None) -> ActivationVJP:
        return GatedKernels(self, codes, pre_acts)

    def jumprelu_threshold(self) -> Float[Tensor, " d_sae"]:
        """theta of the JumpReLU that this SAE is (appendix E): f = z 1[z > theta] for z > 0, z the magnitude path."""
        return self.b_mag - self.r_mag.exp() * self.b_gate


class GatedKernels:
    """As `AutogradVJP` of a Gated SAE on its active entries: two compiled loops on a CPU."""

    def __init__(self, sae: GatedSAE, codes: SparseCodes, pre_acts: Tensor) -> None:
        self._sae, self._pre_acts = sae, pre_acts
        self._feature, self._magnitude = codes.feature.numpy(), sae.r_mag.detach().exp().numpy()
        self._f, self._gate = torch.empty_like(pre_acts), torch.empty_like(pre_acts)
        biases = sae.b_gate.detach().numpy(), sae.b_mag.detach().numpy()
        _forward(self._feature, pre_acts.numpy(), *biases, self._magnitude, self._f.numpy(), self._gate.numpy())

    @property
    def values(self) -> Values:
        return {"f": self._f, "gate": self._gate}

    def backward(self, grads: Values) -> ActivationGrads:
        grad_f, grad_gate = grads["f"], grads["gate"]
        grad_pre_acts, stop = torch.empty_like(grad_f), self._sae.config.stop_pre_bias  # [nnz]
        per_feature = {name: grad_f.new_empty(self._sae.d_sae) for name in ("pre_acts", "b_gate", "r_mag", "b_mag")}
        inputs = [tensor.numpy() for tensor in (self._pre_acts, self._f, grad_f, grad_gate)]
        outputs = [tensor.numpy() for tensor in (grad_pre_acts, *per_feature.values())]
        _backward(self._feature, *inputs, self._magnitude, stop, *outputs)
        return ActivationGrads(grad_pre_acts, per_feature.pop("pre_acts"), per_feature)


@jit
def _forward(
    feature: Int[Array, " nnz"], pre_acts: Float[Array, " nnz"], b_gate: Float[Array, " d_sae"],
    b_mag: Float[Array, " d_sae"], magnitude: Float[Array, " d_sae"], f: Float[Array, " nnz"],
    gate: Float[Array, " nnz"],
) -> None:  # fmt: skip
    """At the active entries, where pi_gate is above zero."""
    for k, i in enumerate(feature):
        gate[k] = pre_acts[k] + b_gate[i]
        f[k] = max(magnitude[i] * pre_acts[k] + b_mag[i], b_mag.dtype.type(0))


@jit
def _backward(
    feature: Int[Array, " nnz"], pre_acts: Float[Array, " nnz"], f: Float[Array, " nnz"],
    grad_f: Float[Array, " nnz"], grad_gate: Float[Array, " nnz"], magnitude: Float[Array, " d_sae"],
    stop_pre_bias: bool, grad_pre_acts: Float[Array, " nnz"],
    pre_acts_sum: Float[Array, " d_sae"],
    grad_b_gate: Float[Array, " d_sae"], grad_r_mag: Float[Array, " d_sae"], grad_b_mag: Float[Array, " d_sae"],
) -> None:  # fmt: skip
    pre_acts_sum[:], grad_b_gate[:], grad_r_mag[:], grad_b_mag[:] = 0, 0, 0, 0
    zero = grad_f.dtype.type(0)
    for k, i in enumerate(feature):
        grad_pi_gate = grad_gate[k]
        grad_pi_mag = grad_f[k] if f[k] > 0 else zero
        grad_through_r_mag = grad_pi_mag * magnitude[i]
        grad_pre_acts[k] = grad_through_r_mag + grad_pi_gate
        pre_acts_sum[i] += grad_through_r_mag if stop_pre_bias else grad_pre_acts[k]
        grad_b_gate[i] += grad_pi_gate
        grad_b_mag[i] += grad_pi_mag
        grad_r_mag[i] += grad_through_r_mag * pre_acts[k]
