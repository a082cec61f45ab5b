"""One training step of an elementwise SAE, forward and backward, written out.

The loss of a Gated SAE (equation 8 of arXiv 2404.16014), in the order of the code; batch is n, a baseline has no gate:

    pre_acts   = (x - b_dec) @ W_enc                        [n, d_sae]
    active     : pre_acts > -b_gate                         the entries that can be above zero; [nnz] if few, else all
    gate       = ReLU(pre_acts + b_gate)                    [nnz]
    f          = 1[gate > 0] * ReLU(exp(r_mag) * pre_acts + b_mag)                                     [nnz]
    error      = f @ W_dec + b_dec - x                      [n, d_in]
    gate_error = gate @ W_dec + b_dec - x                   [n, d_in], its decoder a frozen copy
    loss       = (||error||^2 + lambda * sum(gate) + ||gate_error||^2) / n

    grad_f     = 2/n * error @ W_dec^T,    grad_gate = 2/n * gate_error @ W_dec^T                      [nnz]
    backward through the activation: grad_pre_acts [nnz], and grad_b_gate, grad_r_mag, grad_b_mag      [d_sae]
    grad_W_enc = (x - b_dec)^T @ grad_pre_acts, grad_W_dec = 2/n * f^T @ error, both kept as           [d_sae, d_in]
    grad_b_dec = 2/n * sum(error) - W_enc @ sum(grad_pre_acts)                                         [d_in]

training/optimizer.py then moves the parameters. Where a feature is inactive all of its terms are zero, so a step over
the active entries is exact.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.sae.base import SAE, Losses, squared_error
from pipeline.sae.precision import FLOAT32, product, rounded
from pipeline.sae.sparse_step.activation import ActivationGrads, Activations, ActivationVJP, AutogradVJP, PreActs
from pipeline.sae.sparse_step.codes import Codes, ParameterGrad
from pipeline.sae.sparse_step.codes_cpu import SparseCodes, weighted_sum
from pipeline.sae.sparse_step.selection import select_active

MAX_ELEMENTS = 2**26
"""Most numbers in each temporary [rows, d_sae] of a dense step; a function of the shape alone.

It bounds the dozen temporaries of a dense step, so that it fits in 24 bytes per parameter.
"""


class ForwardBackward(NamedTuple):
    """A batch's forward pass, and its backward pass down to the pre-activations."""

    codes: tuple[Tensor, ...]  # f, and the gate if it trains W_dec: values of the codes
    penalised: Tensor  # values of the codes; [chunks, d_sae] if the batch was split
    errors: list[Float[Tensor, "batch d_in"]]  # reconstruction minus x, of f and of the gate
    grads: ActivationGrads


class ElementwiseSAE(SAE):
    """An SAE whose feature i sees the input only through (x - b_dec) . W_enc[:, i].

    An architecture defines `activations`. Its encoder, its loss for autograd and its training step follow from that.
    Feature i is inactive wherever its pre-activation plus its `gate_bias` is not above zero: there `activations` and
    all their gradients are expected to be zero.
    """

    gate_bias: ClassVar[str]
    """The parameter [d_sae] that decides which features are active."""
    auxiliary_frozen: ClassVar[bool] = True
    """Whether the decoder of the auxiliary term is a frozen copy: W_dec and b_dec get no gradient from that term."""

    def __init__(self, config: Any, d_in: int, d_sae: int) -> None:
        super().__init__(config, d_in, d_sae)
        self.precision = FLOAT32  # of the training step's matrix products

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """An architecture with other activations does not inherit its parent's derivative."""
        super().__init_subclass__(**kwargs)
        if "activations" in vars(cls) and "sparse_vjp" not in vars(cls):
            cls.sparse_vjp = ElementwiseSAE.sparse_vjp  # type: ignore[method-assign]

    # What an architecture defines

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor]) -> Activations:
        """The architecture: elementwise in the pre-activations.

        Args:
            parameters: `feature_parameters` by name: [d_sae] for dense pre-activations, [nnz] for sparse ones.
        """
        raise NotImplementedError

    def sparse_vjp(self, codes: SparseCodes, pre_acts: Float[Tensor, " nnz"]) -> ActivationVJP:
        """`activations` and their derivative on a CPU, where an architecture has something faster than autograd."""
        return AutogradVJP(self.activations, self.by_feature(), codes, pre_acts)

    def set_precision(self, precision: str) -> None:
        self.precision = precision

    # The training step, from top to bottom

    @torch.no_grad()
    def take_gradients(self, x: Float[Tensor, "batch d_in"], sparsity_coefficient: float) -> "ElementwiseStep":
        """The gradients of `training_losses(x).total(sparsity_coefficient)`, without the terms that are zero."""
        centred, scale = x - self.b_dec, 2 / len(x)  # [batch, d_in]
        dense = product(centred, self.W_enc, self.precision)  # [batch, d_sae]
        codes, pre_acts, sparse = select_active(dense, self.threshold(), self.precision)  # [nnz] or [batch, d_sae]
        forward_backward = self._forward_backward if sparse else self._forward_backward_in_chunks
        W_dec = self.W_dec if sparse else rounded(self.W_dec, self.precision)
        decoded, penalised, errors, grads = forward_backward(
            codes, pre_acts, centred, W_dec, sparsity_coefficient / len(x), scale
        )
        gradients: dict[str, ParameterGrad] = dict(grads.parameters)
        gradients["W_enc"] = codes.weight_grad((grads.pre_acts, centred))  # [d_sae, d_in]
        pre_acts_sum = grads.pre_acts_sum
        del dense, pre_acts, grads, W_dec  # a dense step's largest tensors
        gradients["W_dec"] = codes.weight_grad(*zip(decoded, errors, strict=False), scale=scale)  # [d_sae, d_in]
        through_decoder = scale * sum(error.sum(0) for error in errors[: len(decoded)])
        gradients["b_dec"] = through_decoder - self._through_encoder(pre_acts_sum)  # [d_in]
        products = 2 * len(errors) + 1 + len(decoded)  # decoding and its gradients; those of W_enc and of W_dec
        flops = 2 * self.d_in * (len(x) * self.d_sae + products * decoded[0].numel())
        return ElementwiseStep(gradients, sparse, codes, decoded[0], penalised, flops, *errors)

    def _forward_backward(
        self, codes: Codes, pre_acts: Tensor, centred: Float[Tensor, "batch d_in"], W_dec: Float[Tensor, "d_sae d_in"],
        grad_penalty: float, scale: float,
    ) -> ForwardBackward:  # fmt: skip
        vjp = self._vjp(codes, pre_acts)
        f, gate, penalised = vjp.activations
        decoded = (f,) if gate is None else (f, gate)
        reconstructions = codes.reconstruct(decoded, W_dec, centred, scale)  # errors, grad_f and grad_gate
        grads = vjp.backward(grad_penalty, *(each.grad for each in reconstructions))
        trains_decoder = decoded[:1] if self.auxiliary_frozen else decoded
        return ForwardBackward(trains_decoder, penalised, [each.error for each in reconstructions], grads)

    def _vjp(self, codes: Codes, pre_acts: Tensor) -> ActivationVJP:
        if isinstance(codes, SparseCodes):
            return self.sparse_vjp(codes, pre_acts)
        return AutogradVJP(self.activations, self.by_feature(), codes, pre_acts)

    def _through_encoder(self, pre_acts_sum: Float[Tensor, " d_sae"]) -> Float[Tensor, " d_in"]:
        on_cpu = pre_acts_sum.device.type == "cpu"
        return weighted_sum(pre_acts_sum, self.W_enc.T) if on_cpu else self.W_enc @ pre_acts_sum

    def _forward_backward_in_chunks(
        self, codes: Codes, pre_acts: Float[Tensor, "batch d_sae"], centred: Float[Tensor, "batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"], grad_penalty: float, scale: float,
    ) -> ForwardBackward:  # fmt: skip
        """As `_forward_backward` of dense codes, some rows at a time; gradients overwrite the pre-activations."""
        rows = self.rows_per_chunk()
        if len(pre_acts) <= rows:
            return self._forward_backward(codes, pre_acts, centred, W_dec, grad_penalty, scale)
        decoded: list[Tensor] = []
        chunks: list[ForwardBackward] = []
        for number, (chunk, of_x) in enumerate(zip(pre_acts.split(rows), centred.split(rows), strict=True)):
            found = self._forward_backward(codes, chunk, of_x, W_dec, grad_penalty, scale)
            decoded = decoded or [torch.empty_like(pre_acts) for _ in found.codes]
            for whole, part in zip(decoded, found.codes, strict=True):
                whole.split(rows)[number].copy_(part)
            chunk.copy_(found.grads.pre_acts)
            penalised = codes.sum(found.penalised)
            chunks.append(ForwardBackward((), penalised, found.errors, found.grads._replace(pre_acts=chunk)))
            del found, part  # their memory is for the next chunk
        errors = [torch.cat(each) for each in zip(*(chunk.errors for chunk in chunks), strict=True)]
        grads = _sum([chunk.grads for chunk in chunks], pre_acts)
        return ForwardBackward(tuple(decoded), torch.stack([chunk.penalised for chunk in chunks]), errors, grads)

    def rows_per_chunk(self) -> int:
        return max(1, MAX_ELEMENTS // self.d_sae)

    def threshold(self) -> Float[Tensor, " d_sae"]:
        """The largest pre-activation at which a feature is inactive: a sum's sign is exact, so nothing is added."""
        bias: Tensor = getattr(self, self.gate_bias)
        return -bias

    def by_feature(self) -> dict[str, Tensor]:
        """Parameters of shape [d_sae], by name."""
        return {name: getattr(self, name) for name in self.feature_parameters}

    # The same mathematics for inference and for autograd

    def pre_acts(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        return product(x - self.b_dec, self.W_enc)

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        pre_acts = self.pre_acts(x)
        return self.activations(PreActs(pre_acts, pre_acts), self.by_feature()).f

    @torch.no_grad()
    def encode_sparse(self, x: Float[Tensor, "batch d_in"]) -> tuple[Codes, Tensor]:
        codes, values, sparse = select_active(self.pre_acts(x), self.threshold())
        parameters = {name: codes.expand(value) for name, value in self.by_feature().items()}
        if sparse:
            return codes, self.activations(PreActs(values, values), parameters).f
        for chunk in values.split(self.rows_per_chunk()):
            chunk.copy_(self.activations(PreActs(chunk, chunk), parameters).f)
        return codes, values

    def training_losses(self, x: Float[Tensor, "batch d_in"]) -> Losses:
        """The loss for autograd: the reference for the training step."""
        encoded = x @ self.W_enc
        pre_acts = PreActs(encoded - self.b_dec @ self.W_enc, encoded - self.b_dec.detach() @ self.W_enc)
        f, gate, penalised = self.activations(pre_acts, self.by_feature())
        auxiliary = x.new_zeros(())
        if gate is not None:
            decoder = (self.b_dec.detach(), self.W_dec.detach()) if self.auxiliary_frozen else (self.b_dec, self.W_dec)
            auxiliary = squared_error(x, torch.addmm(decoder[0], gate, decoder[1]))
        return Losses(squared_error(x, self.decode(f)), penalised.sum(1).mean(), auxiliary, f.detach())


@dataclass(frozen=True)
class ElementwiseStep:
    """Result of a step: gradients, and what the loss, L0 and dead features are computed from."""

    gradients: Mapping[str, ParameterGrad]
    sparse: bool
    codes: Codes
    f: Tensor  # values of the codes
    penalised: Tensor  # values of the codes; [chunks, d_sae] if the batch was split
    flops: int  # of its matrix products
    error: Float[Tensor, "batch d_in"]  # x_hat - x
    gate_error: Float[Tensor, "batch d_in"] | None = None

    def fired(self) -> Bool[Tensor, " d_sae"]:
        return self.codes.fired(self.f)

    def l0(self) -> float:
        return (self.f > 0).sum().item() / len(self.error)

    def terms(self) -> tuple[float, float, float]:
        """Reconstruction, sparsity and auxiliary term: means over the batch, summed exactly."""
        sparsity = math.fsum(self.codes.sum(self.penalised).tolist()) / len(self.error)
        return _mean_square(self.error), sparsity, _mean_square(self.gate_error)


def _sum(grads: list[ActivationGrads], pre_acts: Float[Tensor, "batch d_sae"]) -> ActivationGrads:
    """Those of a whole batch from its chunks', in their order."""
    names = grads[0].parameters
    parameters = {name: reduce(torch.add, [each.parameters[name] for each in grads]) for name in names}
    return ActivationGrads(pre_acts, reduce(torch.add, [each.pre_acts_sum for each in grads]), parameters)


def _mean_square(error: Float[Tensor, "batch d_in"] | None) -> float:
    return 0.0 if error is None else math.fsum(error.double().square().sum(1).tolist()) / len(error)
