"""SAEs of the common form: one product for each feature, elementwise functions of it, linear decoders.

Such an architecture says its mathematics once, in `activations`: its encoder, its loss as autograd sees it, and its
training step, with forward and backward written out over pairs of input and feature, all follow from that.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.sae.base import SAE, Losses, squared_error
from pipeline.sae.pairs import Pairs, choose_pairs


class Products(NamedTuple):
    """(x - b_dec) . W_enc of some pairs of input and feature: of all [batch, d_sae], or of a list of them [pairs]."""

    live: Tensor
    stopped: Tensor  # the same numbers; what is made of them does not teach b_dec


class Activations(NamedTuple):
    """What an architecture makes of its products, each of the products' shape and zero where a feature is silent."""

    f: Tensor  # the features: decoded by W_dec and b_dec
    gate: Tensor | None  # decoded by the same for the auxiliary term; None where there is none
    penalised: Tensor  # what lambda multiplies, summed over features: `f`, `gate`, or another function
    frozen: bool = True  # the auxiliary term teaches W_dec and b_dec nothing as a decoder


@dataclass(frozen=True)
class PairsStep:
    """A step of `ElementwiseSAE`."""

    sparse: bool
    pairs: Pairs
    f: Tensor  # at the pairs, as is `penalised`
    penalised: Tensor
    error: Float[Tensor, "batch d_in"]  # x_hat - x
    gate_error: Float[Tensor, "batch d_in"] | None

    def fired(self) -> Bool[Tensor, " d_sae"]:
        return self.pairs.fired(self.f)

    def l0(self) -> float:
        return (self.f > 0).sum().item() / len(self.error)

    def terms(self) -> tuple[float, float, float]:
        """Each a mean over the batch, summed exactly."""
        sparsity = math.fsum(self.pairs.sum(self.penalised).tolist()) / len(self.error)
        return _mean_square(self.error), sparsity, _mean_square(self.gate_error)


def _mean_square(error: Float[Tensor, "batch d_in"] | None) -> float:
    return 0.0 if error is None else math.fsum(error.double().square().sum(1).tolist()) / len(error)


class ElementwiseSAE(SAE):
    """An SAE whose feature i sees the input only through (x - b_dec) . W_enc[:, i].

    Feature i is silent wherever that product plus its `gate_bias` is not above zero: then `activations` are zero, with
    all their gradients.
    """

    gate_bias: ClassVar[str]
    """The parameter [d_sae] that decides which features are active."""

    def activations(self, products: Products, parameters: Mapping[str, Tensor]) -> Activations:
        """The architecture: elementwise in the products.

        Args:
            parameters: `feature_parameters` by name, [d_sae] beside products of [batch, d_sae], else one for each pair.
        """
        raise NotImplementedError

    def by_feature(self) -> dict[str, Tensor]:
        """Parameters of shape [d_sae], by name."""
        return {name: getattr(self, name) for name in self.feature_parameters}

    def products(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        return (x - self.b_dec) @ self.W_enc

    def silent_up_to(self) -> Float[Tensor, " d_sae"]:
        """The largest product at which a feature is silent: the sum's sign is exact, so no addition is needed."""
        bias: Tensor = getattr(self, self.gate_bias)
        return -bias

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        product = self.products(x)
        return self.activations(Products(product, product), self.by_feature()).f

    @torch.no_grad()
    def code(self, x: Float[Tensor, "batch d_in"]) -> tuple[Pairs, Tensor]:
        pairs, values, _ = choose_pairs(self.products(x), self.silent_up_to())
        parameters = {name: pairs.spread(value) for name, value in self.by_feature().items()}
        return pairs, self.activations(Products(values, values), parameters).f

    def training_losses(self, x: Float[Tensor, "batch d_in"]) -> Losses:
        """The loss as it stands, for autograd: what the training step is checked against."""
        product = x @ self.W_enc
        products = Products(product - self.b_dec @ self.W_enc, product - self.b_dec.detach() @ self.W_enc)
        f, gate, penalised, frozen = self.activations(products, self.by_feature())
        auxiliary = x.new_zeros(())
        if gate is not None:
            decoder = (self.b_dec.detach(), self.W_dec.detach()) if frozen else (self.b_dec, self.W_dec)
            auxiliary = squared_error(x, torch.addmm(decoder[0], gate, decoder[1]))
        return Losses(squared_error(x, self.decode(f)), penalised.sum(1).mean(), auxiliary, f.detach())

    @torch.no_grad()
    def take_gradients(self, x: Float[Tensor, "batch d_in"], sparsity_coefficient: float) -> PairsStep:
        """As `training_losses(x).total(sparsity_coefficient).backward()` would, with the zeros left out.

        A dense step has seven products of batch x d_in x d_sae for a Gated SAE, five for a baseline. The encoder's is
        the only one that must look at silent features; the others are formed over active pairs once these are few.
        """
        centred = x - self.b_dec
        pairs, values, sparse = choose_pairs(centred @ self.W_enc, self.silent_up_to())
        leaves = [_leaf(values), _leaf(values), *(_leaf(pairs.spread(value)) for value in self.by_feature().values())]
        with torch.enable_grad():
            made = self.activations(Products(*leaves[:2]), dict(zip(self.feature_parameters, leaves[2:], strict=True)))
        f, penalised, scale = made.f.detach(), made.penalised.detach(), 2 / len(x)

        error, of_error = pairs.reconstruct(f, self.W_dec, centred, scale)
        outputs = [made.f, made.penalised]
        teaching = [of_error, torch.full_like(penalised, sparsity_coefficient / len(x))]
        gate_error = None
        if made.gate is not None:
            gate_error, of_gate_error = pairs.reconstruct(made.gate.detach(), self.W_dec, centred, scale)
            outputs.append(made.gate)
            teaching.append(of_gate_error)
        live, stopped, *of_parameters = torch.autograd.grad(
            outputs, leaves, teaching, allow_unused=True, materialize_grads=True
        )

        self.W_enc.grad = pairs.gather(live + stopped, centred).T
        self.W_dec.grad = pairs.gather(scale * f, error)
        self.b_dec.grad = scale * error.sum(0) - self.W_enc @ pairs.sum(live)
        if made.gate is not None and gate_error is not None and not made.frozen:
            self.W_dec.grad += pairs.gather(scale * made.gate.detach(), gate_error)
            self.b_dec.grad += scale * gate_error.sum(0)
        for name, gradient in zip(self.feature_parameters, of_parameters, strict=True):
            getattr(self, name).grad = pairs.collect(gradient)
        return PairsStep(sparse, pairs, f, penalised, error, gate_error)


def _leaf(values: Tensor) -> Tensor:
    return values.detach().requires_grad_()
