"""SAEs of the common form: one product for each feature, elementwise functions of it, linear decoders.

Such an architecture says its mathematics once, in `activations`: its encoder, its loss as autograd sees it, and its
training step, with forward and backward written out over pairs of input and feature, all follow from that.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.sae.base import SAE, Losses, squared_error
from pipeline.sae.precision import FLOAT32, product, rounded
from pipeline.sae.sparse_step.codes import Gradient, Pairs
from pipeline.sae.sparse_step.codes_cpu import ActivePairs, weighted_sum
from pipeline.sae.sparse_step.result import PairsStep
from pipeline.sae.sparse_step.selection import choose_pairs


class Products(NamedTuple):
    """(x - b_dec) . W_enc of some pairs of input and feature: of all [batch, d_sae], or of a list of them [pairs]."""

    live: Tensor
    stopped: Tensor  # the same numbers; what is made of them does not teach b_dec


class Activations(NamedTuple):
    """What an architecture makes of its products, each of the products' shape and zero where a feature is silent."""

    f: Tensor  # the features: decoded by W_dec and b_dec
    gate: Tensor | None  # decoded by the same for the auxiliary term; None where there is none
    penalised: Tensor  # what lambda multiplies, summed over features: `f`, `gate`, or another function


class Teaching(NamedTuple):
    """A loss's gradients by what `activations` were made of."""

    products: Tensor  # at the pairs
    live: Float[Tensor, " d_sae"]  # of the products that teach b_dec, summed over the batch
    parameters: dict[str, Float[Tensor, " d_sae"]]


class Differentiable(Protocol):
    """Activations at some pairs, and the way back from them."""

    @property
    def activations(self) -> Activations: ...

    def teaching(self, of_penalised: float, of_f: Tensor, of_gate: Tensor | None = None) -> Teaching:
        """From the loss's gradients by the activations."""
        ...


AT_ONCE = 2**26
"""Numbers in each tensor of features that a dense step makes at a time, or a dense code. A function of the shape alone:
beside a kept [batch, d_sae] or two, its dozen temporaries are no larger, so that a step fits into 24 bytes a parameter.
"""


class Learned(NamedTuple):
    """What a batch teaches, before the matrices' gradients are formed."""

    decoded: tuple[Tensor, ...]  # f, and what else teaches W_dec: at the pairs
    penalised: Tensor  # at the pairs; of a batch in parts [parts, d_sae]
    errors: list[Float[Tensor, "batch d_in"]]  # reconstruction minus x, of f and of the gate
    teaching: Teaching


class ElementwiseSAE(SAE):
    """An SAE whose feature i sees the input only through (x - b_dec) . W_enc[:, i].

    Feature i is silent wherever that product plus its `gate_bias` is not above zero: then `activations` are zero, with
    all their gradients.
    """

    gate_bias: ClassVar[str]
    """The parameter [d_sae] that decides which features are active."""
    precision = FLOAT32
    """Of the training step's matrix products."""
    auxiliary_frozen: ClassVar[bool] = True
    """Whether the decoder of the auxiliary term is a frozen copy, which learns nothing from it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """With other activations an architecture does not inherit the derivative of those it had."""
        super().__init_subclass__(**kwargs)
        if "activations" in vars(cls) and "over_active_pairs" not in vars(cls):
            cls.over_active_pairs = ElementwiseSAE.over_active_pairs  # type: ignore[method-assign]

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
        return product(x - self.b_dec, self.W_enc)

    def rows_at_once(self) -> int:
        """Of a batch, where all pairs are computed with."""
        return max(1, AT_ONCE // self.d_sae)

    def silent_up_to(self) -> Float[Tensor, " d_sae"]:
        """The largest product at which a feature is silent: the sum's sign is exact, so no addition is needed."""
        bias: Tensor = getattr(self, self.gate_bias)
        return -bias

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        encoded = self.products(x)
        return self.activations(Products(encoded, encoded), self.by_feature()).f

    @torch.no_grad()
    def code(self, x: Float[Tensor, "batch d_in"]) -> tuple[Pairs, Tensor]:
        pairs, values, sparse = choose_pairs(self.products(x), self.silent_up_to())
        parameters = {name: pairs.spread(value) for name, value in self.by_feature().items()}
        if sparse:
            return pairs, self.activations(Products(values, values), parameters).f
        for part in values.split(self.rows_at_once()):
            part.copy_(self.activations(Products(part, part), parameters).f)
        return pairs, values

    def training_losses(self, x: Float[Tensor, "batch d_in"]) -> Losses:
        """The loss as it stands, for autograd: what the training step is checked against."""
        encoded = x @ self.W_enc
        products = Products(encoded - self.b_dec @ self.W_enc, encoded - self.b_dec.detach() @ self.W_enc)
        f, gate, penalised = self.activations(products, self.by_feature())
        auxiliary = x.new_zeros(())
        if gate is not None:
            decoder = (self.b_dec.detach(), self.W_dec.detach()) if self.auxiliary_frozen else (self.b_dec, self.W_dec)
            auxiliary = squared_error(x, torch.addmm(decoder[0], gate, decoder[1]))
        return Losses(squared_error(x, self.decode(f)), penalised.sum(1).mean(), auxiliary, f.detach())

    @torch.no_grad()
    def take_gradients(self, x: Float[Tensor, "batch d_in"], sparsity_coefficient: float) -> PairsStep:
        """As `training_losses(x).total(sparsity_coefficient).backward()` would, with the zeros left out.

        Of its products (`dense_products`) only the encoder's must look at silent features; the others are formed over
        active pairs once these are few.
        """
        centred, scale = x - self.b_dec, 2 / len(x)
        encoded = product(centred, self.W_enc, self.precision)
        pairs, products, sparse = choose_pairs(encoded, self.silent_up_to(), self.precision)
        learn = self._learn if sparse else self._learn_in_parts
        W_dec = self.W_dec if sparse else rounded(self.W_dec, self.precision)
        f, penalised, errors, teaching = learn(pairs, products, centred, W_dec, sparsity_coefficient / len(x), scale)
        gradients: dict[str, Gradient] = {**teaching.parameters, "W_enc": pairs.gather((teaching.products, centred))}
        live = teaching.live
        del encoded, products, teaching, W_dec  # a dense step's largest tensors
        gradients["W_dec"] = pairs.gather(*zip(f, errors, strict=False), scale=scale)
        gradients["b_dec"] = scale * sum(error.sum(0) for error in errors[: len(f)]) - self._through_encoder(live)
        over_pairs = 2 * len(errors) + 1 + len(f)  # decoding and its gradients; those of W_enc and of W_dec
        flops = 2 * self.d_in * (len(x) * self.d_sae + over_pairs * f[0].numel())
        return PairsStep(gradients, sparse, pairs, f[0], penalised, flops, *errors)

    def _through_encoder(self, live: Float[Tensor, " d_sae"]) -> Float[Tensor, " d_in"]:
        return weighted_sum(live, self.W_enc.T) if live.device.type == "cpu" else self.W_enc @ live

    def _learn(
        self, pairs: Pairs, products: Tensor, centred: Float[Tensor, "batch d_in"], W_dec: Float[Tensor, "d_sae d_in"],
        of_penalised: float, scale: float,
    ) -> Learned:  # fmt: skip
        made = self.differentiable(pairs, products)
        f, gate, penalised = made.activations
        decoded = (f,) if gate is None else (f, gate)
        reconstructions = pairs.reconstruct(decoded, W_dec, centred, scale)
        teaching = made.teaching(of_penalised, *(each.teaching for each in reconstructions))
        teachers = decoded[:1] if self.auxiliary_frozen else decoded
        return Learned(teachers, penalised, [each.error for each in reconstructions], teaching)

    def _learn_in_parts(
        self, pairs: Pairs, products: Float[Tensor, "batch d_sae"], centred: Float[Tensor, "batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"], of_penalised: float, scale: float,
    ) -> Learned:  # fmt: skip
        """As `_learn` over all pairs, some rows at a time; what teaches the products takes their memory."""
        rows = self.rows_at_once()
        if len(products) <= rows:
            return self._learn(pairs, products, centred, W_dec, of_penalised, scale)
        teachers: list[Tensor] = []
        parts: list[Learned] = []
        for number, (of_products, of_x) in enumerate(zip(products.split(rows), centred.split(rows), strict=True)):
            part = self._learn(pairs, of_products, of_x, W_dec, of_penalised, scale)
            teachers = teachers or [torch.empty_like(products) for _ in part.decoded]
            for place, teacher in enumerate(teachers):
                teacher.split(rows)[number].copy_(part.decoded[place])
            of_products.copy_(part.teaching.products)
            penalised = pairs.sum(part.penalised)
            parts.append(Learned((), penalised, part.errors, part.teaching._replace(products=of_products)))
            del part  # its memory is for the next
        errors = [torch.cat(each) for each in zip(*(part.errors for part in parts), strict=True)]
        taught = [part.teaching for part in parts]
        sums = {name: reduce(torch.add, [each.parameters[name] for each in taught]) for name in taught[0].parameters}
        teaching = Teaching(products, reduce(torch.add, [each.live for each in taught]), sums)
        return Learned(tuple(teachers), torch.stack([part.penalised for part in parts]), errors, teaching)

    def differentiable(self, pairs: Pairs, products: Tensor) -> Differentiable:
        if isinstance(pairs, ActivePairs):
            return self.over_active_pairs(pairs, products)
        return ByAutograd(self, pairs, products)

    def over_active_pairs(self, pairs: ActivePairs, products: Tensor) -> Differentiable:
        """`activations` and their derivative, where an architecture has something faster than autograd."""
        return ByAutograd(self, pairs, products)


class ByAutograd:
    """`activations` of any architecture, over any pairs."""

    def __init__(self, sae: ElementwiseSAE, pairs: Pairs, products: Tensor) -> None:
        self._pairs, self._names = pairs, sae.feature_parameters
        spread = [pairs.spread(value) for value in sae.by_feature().values()]
        self._leaves = [tensor.detach().requires_grad_() for tensor in (products, products, *spread)]
        with torch.enable_grad():
            parameters = dict(zip(self._names, self._leaves[2:], strict=True))
            self._made = sae.activations(Products(*self._leaves[:2]), parameters)

    @property
    def activations(self) -> Activations:
        f, gate, penalised = self._made
        return Activations(f.detach(), None if gate is None else gate.detach(), penalised.detach())

    def teaching(self, of_penalised: float, of_f: Tensor, of_gate: Tensor | None = None) -> Teaching:
        f, gate, penalised = self._made
        outputs, teaching = [f, penalised], [of_f, torch.full_like(penalised, of_penalised)]
        if gate is not None and of_gate is not None:
            outputs.append(gate)
            teaching.append(of_gate)
        live, stopped, *by_pair = torch.autograd.grad(
            outputs, self._leaves, teaching, allow_unused=True, materialize_grads=True
        )
        collected = (self._pairs.collect(gradient) for gradient in by_pair)
        return Teaching(live + stopped, self._pairs.sum(live), dict(zip(self._names, collected, strict=True)))
