"""The activation of an SAE, elementwise in its pre-activations, and its vector-Jacobian product (VJP)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.sae.objective import StepContext, Values
from pipeline.sae.sparse_step.codes import Codes


class PreActs(NamedTuple):
    """(x - b_dec) @ W_enc: of all features [batch, d_sae], or at the active entries [nnz]."""

    value: Tensor
    b_dec_detached: Tensor  # the same numbers; no gradient flows from them to b_dec


class ActivationGrads(NamedTuple):
    """Gradients of the loss with respect to the inputs of `activations`."""

    pre_acts: Tensor  # the shape of the pre-activations
    pre_acts_sum: Float[Tensor, " d_sae"]  # summed over the batch; only what flows on to b_dec
    parameters: dict[str, Float[Tensor, " d_sae"]]


class ActivationVJP(Protocol):
    """Activations of some pre-activations, and the backward pass through them."""

    @property
    def values(self) -> Values: ...

    def backward(self, grads: Values) -> ActivationGrads:
        """From gradients with respect to the activations, by name, to those with respect to their inputs."""
        ...


Activation = Callable[[PreActs, Mapping[str, Tensor], StepContext | None], Values]


class AutogradVJP:
    """`activations` of any architecture, by autograd."""

    def __init__(
        self, activation: Activation, parameters: Mapping[str, Tensor], codes: Codes, pre_acts: Tensor,
        at: StepContext | None,
    ) -> None:  # fmt: skip
        self._codes, self._names = codes, tuple(parameters)
        expanded = [codes.expand(value) for value in parameters.values()]
        self._leaves = [tensor.detach().requires_grad_() for tensor in (pre_acts, pre_acts, *expanded)]
        with torch.enable_grad():
            by_name = dict(zip(self._names, self._leaves[2:], strict=True))
            values = activation(PreActs(*self._leaves[:2]), by_name, at)
            self._outputs = {name: codes.selected(value) for name, value in values.items()}

    @property
    def values(self) -> Values:
        return {name: value.detach() for name, value in self._outputs.items()}

    def backward(self, grads: Values) -> ActivationGrads:
        outputs = [self._outputs[name] for name in grads]
        value, b_dec_detached, *expanded = torch.autograd.grad(
            outputs, self._leaves, list(grads.values()), allow_unused=True, materialize_grads=True
        )
        parameters = (self._codes.reduce(gradient) for gradient in expanded)
        by_name = dict(zip(self._names, parameters, strict=True))
        return ActivationGrads(value + b_dec_detached, self._codes.sum(value), by_name)
