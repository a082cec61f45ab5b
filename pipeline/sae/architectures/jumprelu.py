"""JumpReLU SAEs (Rajamanoharan et al., arXiv 2407.14435): a threshold per feature, learned through its jump."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.config.accepted import Expansion, Name, Positive
from pipeline.sae.base import PerFeature
from pipeline.sae.kernels.jit import Array, jit
from pipeline.sae.objective import Decoded, Objective, Penalty, StepContext, Values
from pipeline.sae.registry import register
from pipeline.sae.sparse_step.activation import ActivationGrads, ActivationVJP, PreActs
from pipeline.sae.sparse_step.codes_cpu import SparseCodes
from pipeline.sae.sparse_step.step import ElementwiseSAE


@dataclass(frozen=True)
class JumpReLUConfig:
    name: Name = "jumprelu"
    expansion: Expansion = 4.0
    penalty: Literal["l0", "target_l0", "tanh"] = "l0"
    target_l0: Positive = 32.0  # of target_l0: lambda * (L0 / target_l0 - 1)^2
    steepness: Positive = 4.0  # c of tanh: lambda * sum of tanh(c f), with unit norms of W_dec
    threshold: Positive = 0.001  # theta at the start, for inputs with E||x||^2 = 1
    bandwidth: Positive = 0.001  # epsilon, the width of the kernel that estimates gradients, for such inputs

    @property
    def AXIS(self) -> str:  # noqa: N802  as architectures with one axis have it
        return "target_l0" if self.penalty == "target_l0" else "sparsity_coefficient"


@register("jumprelu", JumpReLUConfig)
class JumpReLUSAE(ElementwiseSAE):
    """f = z 1[z > theta] with z = ReLU((x - b_dec) W_enc + b_enc); the threshold theta itself is the parameter.

    Its logarithm as the parameter, as in the paper, hardly moves under Adam.
    """

    b_enc: nn.Parameter
    threshold: nn.Parameter

    @property
    def feature_parameters(self) -> tuple[PerFeature, ...]:  # type: ignore[override]
        return (PerFeature("b_enc"), PerFeature("threshold", start=self.config.threshold * self.d_in**0.5))

    @property
    def bandwidth(self) -> float:
        """epsilon, for inputs with E||x||^2 = d_in."""
        return float(self.config.bandwidth * self.d_in**0.5)

    @property
    def objective(self) -> Objective:
        target = self.config.target_l0 if self.config.penalty == "target_l0" else None
        return Objective((Decoded("f"),), (Penalty("penalised", target=target),))

    def active_above(self) -> Float[Tensor, " d_sae"]:
        """Half a kernel's width below theta: there f is zero, and theta has a gradient."""
        return (self.threshold - self.bandwidth / 2).clamp(min=0) - self.b_enc

    def sparse_vjp(self, codes: SparseCodes, pre_acts: Tensor, at: StepContext | None) -> ActivationVJP:
        return JumpKernels(self, codes, pre_acts)

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor], at: StepContext | None) -> Values:
        z, theta = torch.relu(pre_acts.value + parameters["b_enc"]), parameters["threshold"]
        f = Jump.apply(z, theta, self.bandwidth)
        if self.config.penalty == "tanh":
            return {"f": f, "penalised": torch.tanh(self.config.steepness * f)}
        return {"f": f, "penalised": Heaviside.apply(z, theta, self.bandwidth)}


class JumpKernels:
    """As `AutogradVJP` of a JumpReLU SAE on the entries that its thresholds select: two compiled loops on a CPU."""

    def __init__(self, sae: JumpReLUSAE, codes: SparseCodes, pre_acts: Tensor) -> None:
        self._sae, self._codes = sae, codes
        self._theta, self._z = sae.threshold.detach().numpy(), pre_acts + codes.expand(sae.b_enc.detach())
        f, penalised = torch.empty_like(pre_acts), torch.empty_like(pre_acts)
        self._steepness = sae.config.steepness if sae.config.penalty == "tanh" else 0.0
        _forward(
            self._codes.feature.numpy(), self._z.numpy(), self._theta, self._steepness, f.numpy(), penalised.numpy()
        )
        self.values = {"f": f, "penalised": penalised}

    def backward(self, grads: Values) -> ActivationGrads:
        grad_pre_acts = torch.empty_like(grads["f"])
        per_feature = {name: grad_pre_acts.new_empty(self._sae.d_sae) for name in ("b_enc", "threshold")}
        inputs = [tensor.numpy() for tensor in (self._z, self.values["penalised"], grads["f"], grads["penalised"])]
        outputs = [tensor.numpy() for tensor in (grad_pre_acts, *per_feature.values())]
        number = self._theta.dtype.type
        factors = number(self._sae.bandwidth), number(self._steepness)
        _backward(self._codes.feature.numpy(), *inputs, self._theta, *factors, *outputs)
        return ActivationGrads(grad_pre_acts, per_feature["b_enc"], per_feature)


@jit
def _forward(
    feature: Int[Array, " nnz"], z: Float[Array, " nnz"], theta: Float[Array, " d_sae"], steepness: float,
    f: Float[Array, " nnz"], penalised: Float[Array, " nnz"],
) -> None:  # fmt: skip
    """A steepness of 0: the penalty counts active features."""
    for k, i in enumerate(feature):
        active = z[k] > theta[i]
        f[k] = z[k] if active else 0
        penalised[k] = np.tanh(steepness * f[k]) if steepness else active


@jit
def _backward(
    feature: Int[Array, " nnz"], z: Float[Array, " nnz"], penalised: Float[Array, " nnz"], grad_f: Float[Array, " nnz"],
    grad_penalised: Float[Array, " nnz"], theta: Float[Array, " d_sae"], width: float, steepness: float,
    grad_pre_acts: Float[Array, " nnz"], grad_b_enc: Float[Array, " d_sae"], grad_theta: Float[Array, " d_sae"],
) -> None:  # fmt: skip
    grad_b_enc[:], grad_theta[:] = 0, 0
    for k, i in enumerate(feature):
        of_f, of_active = grad_f[k], grad_penalised[k]
        if steepness:
            of_f += grad_penalised[k] * steepness * (1 - penalised[k] * penalised[k])
            of_active = 0
        grad_pre_acts[k] = of_f if z[k] > theta[i] else 0
        grad_b_enc[i] += grad_pre_acts[k]
        if abs(z[k] - theta[i]) < width / 2:
            grad_theta[i] -= (theta[i] * of_f + of_active) / width


def kernel(z: Tensor, theta: Tensor, width: float) -> Tensor:
    """K((z - theta) / width) / width of the rectangle K, where z is above zero."""
    return ((z - theta).abs() < width / 2).to(z.dtype).mul_(z > 0) / width


class Jump(torch.autograd.Function):
    """z 1[z > theta]; the gradient for theta is estimated (equation 11)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z, theta)
        ctx.width = width
        return z * (z > theta)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        z, theta = ctx.saved_tensors
        of_theta = -theta * kernel(z, theta, ctx.width) * grad
        return grad * (z > theta), of_theta.sum_to_size(theta.shape), None


class Heaviside(torch.autograd.Function):
    """1[z > theta], of which L0 is the sum; no gradient for z, an estimated one for theta (equation 12)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z, theta)
        ctx.width = width
        return (z > theta).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
        z, theta = ctx.saved_tensors
        return None, (-kernel(z, theta, ctx.width) * grad).sum_to_size(theta.shape), None
