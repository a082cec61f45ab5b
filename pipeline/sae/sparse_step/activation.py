"""The activation of an SAE, elementwise in its pre-activations, and its vector-Jacobian product (VJP)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.sae.sparse_step.codes import Codes


class PreActs(NamedTuple):
    """(x - b_dec) @ W_enc: of all features [batch, d_sae], or at the active entries [nnz]."""

    value: Tensor
    b_dec_detached: Tensor  # the same numbers; no gradient flows from them to b_dec


class Activations(NamedTuple):
    """Outputs of the activation function: same shape as the pre-activations, zero for inactive features."""

    f: Tensor  # the features: decoded by W_dec and b_dec
    gate: Tensor | None  # decoded by the same decoder for the auxiliary term; None where there is none
    penalised: Tensor  # what lambda multiplies, summed over features: `f`, `gate`, or another function


class ActivationGrads(NamedTuple):
    """Gradients of the loss with respect to the inputs of `activations`."""

    pre_acts: Tensor  # the shape of the pre-activations
    pre_acts_sum: Float[Tensor, " d_sae"]  # summed over the batch; only what flows on to b_dec
    parameters: dict[str, Float[Tensor, " d_sae"]]


class ActivationVJP(Protocol):
    """Activations of some pre-activations, and the backward pass through them."""

    @property
    def activations(self) -> Activations: ...

    def backward(self, grad_penalty: float, grad_f: Tensor, grad_gate: Tensor | None = None) -> ActivationGrads:
        """From gradients with respect to the activations to those with respect to their inputs.

        Args:
            grad_penalty: of the loss with respect to each entry of `penalised`.
            grad_f, grad_gate: of the loss with respect to `f` and `gate`, in their shape.
        """
        ...


Activation = Callable[[PreActs, Mapping[str, Tensor]], Activations]


class AutogradVJP:
    """`activations` of any architecture, by autograd."""

    def __init__(
        self, activation: Activation, parameters: Mapping[str, Tensor], codes: Codes, pre_acts: Tensor
    ) -> None:
        self._codes, self._names = codes, tuple(parameters)
        expanded = [codes.expand(value) for value in parameters.values()]
        self._leaves = [tensor.detach().requires_grad_() for tensor in (pre_acts, pre_acts, *expanded)]
        with torch.enable_grad():
            by_name = dict(zip(self._names, self._leaves[2:], strict=True))
            self._outputs = activation(PreActs(*self._leaves[:2]), by_name)

    @property
    def activations(self) -> Activations:
        f, gate, penalised = self._outputs
        return Activations(f.detach(), None if gate is None else gate.detach(), penalised.detach())

    def backward(self, grad_penalty: float, grad_f: Tensor, grad_gate: Tensor | None = None) -> ActivationGrads:
        f, gate, penalised = self._outputs
        outputs, grad_outputs = [f, penalised], [grad_f, torch.full_like(penalised, grad_penalty)]
        if gate is not None and grad_gate is not None:
            outputs.append(gate)
            grad_outputs.append(grad_gate)
        value, b_dec_detached, *expanded = torch.autograd.grad(
            outputs, self._leaves, grad_outputs, allow_unused=True, materialize_grads=True
        )
        parameters = (self._codes.reduce(gradient) for gradient in expanded)
        by_name = dict(zip(self._names, parameters, strict=True))
        return ActivationGrads(value + b_dec_detached, self._codes.sum(value), by_name)
