"""AuxK: the part of a step in which dead features reconstruct what the others leave (pipeline/sae/objective.py)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.sae.objective import StepContext
from pipeline.sae.precision import product
from pipeline.sae.sparse_step.activation import ActivationVJP, AutogradVJP, PreActs
from pipeline.sae.sparse_step.codes import DenseCodes, ParameterGrad, add_rows, materialize
from pipeline.sae.sparse_step.codes_cpu import weighted_sum
from pipeline.sae.sparse_step.selection import top_k_mask

if TYPE_CHECKING:
    from pipeline.sae.sparse_step.step import ElementwiseSAE


@dataclass(frozen=True)
class DeadStep:
    """The dead features of one step: which entries are active among them, and their activations."""

    sae: "ElementwiseSAE"
    features: Int[Tensor, " n_dead"]
    vjp: ActivationVJP
    error: Float[Tensor, "batch d_in"]  # e_hat - e, once `add_gradients` has computed it

    @classmethod
    def of(cls, sae: "ElementwiseSAE", dense: Float[Tensor, "batch d_sae"], at: StepContext) -> "DeadStep | None":
        """None where nothing is asked of dead features, or there are none."""
        rule = sae.objective.dead
        features = rule.dead(at) if rule else None
        if rule is None or features is None or not len(features):
            return None
        pre_acts = dense[:, features]
        codes = DenseCodes(sae.precision, top_k_mask(pre_acts + sae.gate_biases()[features], rule.k))
        parameters = {name: value[features] for name, value in sae.by_feature().items()}
        vjp = AutogradVJP(sae.activations, parameters, codes, pre_acts, at)
        return cls(sae, features, vjp, dense.new_empty(len(dense), sae.d_in))

    def add_gradients(
        self, gradients: dict[str, ParameterGrad], centred: Float[Tensor, "batch d_in"],
        error: Float[Tensor, "batch d_in"], scale: float,
    ) -> None:  # fmt: skip
        """Add what this term contributes to each parameter's gradient.

        Args:
            error: x_hat - x of all features, the negative of the residual.
        """
        sae, rule, name = self.sae, self.sae.objective.dead, self.sae.objective.features
        assert rule is not None
        f, W_dec, factor = self.vjp.values[name], sae.W_dec[self.features], rule.weight * scale
        torch.add(error, product(f, W_dec), out=self.error)
        grads = self.vjp.backward({name: product(factor * self.error, W_dec.T)})
        gradients["W_dec"] = add_rows(gradients["W_dec"], self.features, product((factor * f).T, self.error))
        gradients["W_enc"] = add_rows(gradients["W_enc"], self.features, product(grads.pre_acts.T, centred))
        through_encoder = weighted_sum(grads.pre_acts_sum, sae.W_enc.T[self.features])
        gradients["b_dec"] = materialize(gradients["b_dec"]) - through_encoder
        for each, gradient in grads.parameters.items():
            gradients[each] = add_rows(gradients[each], self.features, gradient)

    @property
    def flops(self) -> int:
        """Of its four products over the dead features: decoding, and the gradients of f, W_dec and W_enc."""
        return 8 * self.error.numel() * len(self.features)

    def loss(self) -> float:
        rule = self.sae.objective.dead
        assert rule is not None
        return rule.weight * mean_square(self.error)


def mean_square(error: Float[Tensor, "batch d_in"]) -> float:
    """Mean over the batch of ||error||^2, summed exactly."""
    return math.fsum(error.double().square().sum(1).tolist()) / len(error)


def dead_loss(
    sae: "ElementwiseSAE", x: Float[Tensor, "batch d_in"], pre_acts: PreActs, f: Float[Tensor, "batch d_sae"],
    at: StepContext,
) -> Tensor:  # fmt: skip
    """The term for autograd.

    Args:
        f: the features, detached.
    """
    rule = sae.objective.dead
    features = rule.dead(at) if rule else None
    if rule is None or features is None or not len(features):
        return x.new_zeros(())
    own = PreActs(*(each[:, features] for each in pre_acts))
    parameters = {name: value[features] for name, value in sae.by_feature().items()}
    values = sae.activations(own, parameters, at)[sae.objective.features]
    mask = top_k_mask(own.value.detach() + sae.gate_biases().detach()[features], rule.k)
    residual = (x - f @ sae.W_dec - sae.b_dec).detach()
    e_hat = torch.where(mask, values, 0.0) @ sae.W_dec[features]
    return rule.weight * (e_hat - residual).square().sum(1).mean()
