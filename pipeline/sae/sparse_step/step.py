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
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.sae.base import SAE, Losses, squared_error
from pipeline.sae.objective import Decoded, Objective, StepContext, Values
from pipeline.sae.precision import FLOAT32, product, rounded
from pipeline.sae.sparse_step.activation import ActivationGrads, ActivationVJP, AutogradVJP, PreActs
from pipeline.sae.sparse_step.codes import Codes, DenseCodes, ParameterGrad, Reconstruction, WeightGradTerm, joined
from pipeline.sae.sparse_step.codes_cpu import SparseCodes, weighted_sum
from pipeline.sae.sparse_step.dead_features import DeadStep, dead_loss
from pipeline.sae.sparse_step.result import ElementwiseStep
from pipeline.sae.sparse_step.selectors import ByThreshold, Selector

MAX_ELEMENTS = 2**26
"""Most numbers in each temporary [rows, d_sae] of a dense step; a function of the shape alone.

It bounds the dozen temporaries of a dense step, so that it fits in 24 bytes per parameter.
"""


class ForwardBackward(NamedTuple):
    """A batch's forward pass, and its backward pass down to the pre-activations."""

    decoded: list[Tensor]  # values of the codes, of each decoded term
    penalised: list[Tensor]  # values of the codes, of each penalty; [chunks, d_sae] if the batch was split
    reconstructions: list[Reconstruction]  # of each decoded term
    grads: ActivationGrads


class ElementwiseSAE(SAE):
    """An SAE whose feature i sees the input through (x - b_dec) . W_enc[:, i], and through which others are active.

    An architecture says which features are active (`active_above`, `selector`), what they are (`activations`) and what
    is minimised (`objective`). Its encoder, its loss for autograd and its training step follow from that.
    """

    gate_bias: ClassVar[str] = "b_enc"
    """The parameter [d_sae] that is added to pre-activations where these decide which features are active."""

    def __init__(self, config: Any, d_in: int, d_sae: int) -> None:
        super().__init__(config, d_in, d_sae)
        self.precision = FLOAT32  # of the training step's matrix products

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """An architecture with other activations does not inherit its parent's derivative."""
        super().__init_subclass__(**kwargs)
        if "activations" in vars(cls) and "sparse_vjp" not in vars(cls):
            cls.sparse_vjp = ElementwiseSAE.sparse_vjp  # type: ignore[method-assign]

    # What an architecture defines

    @property
    def objective(self) -> Objective:
        raise NotImplementedError

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor], at: StepContext | None) -> Values:
        """The architecture's activations by name, elementwise in the pre-activations.

        They and all their gradients are expected to be zero where `active_above` says that a feature is inactive.

        Args:
            parameters: `feature_parameters` by name: [d_sae] for dense pre-activations, [nnz] for sparse ones.
            at: None at inference.
        """
        raise NotImplementedError

    def active_above(self) -> Float[Tensor, " d_sae"]:
        """The largest pre-activation at which a feature is inactive: a sum's sign is exact, so nothing is added."""
        return -self.gate_biases()

    def gate_biases(self) -> Float[Tensor, " d_sae"]:
        return self.get_parameter(self.gate_bias)

    @property
    def selector(self) -> Selector:
        """Which entries a step computes with; here those above their feature's threshold."""
        return ByThreshold()

    @property
    def dense_products(self) -> int:  # type: ignore[override]
        """Two of the encoder; of each decoded term two, and one more where it trains the decoder."""
        terms = self.objective.decoded
        return 2 + 2 * len(terms) + sum(term.trains_decoder for term in terms)

    def sparse_vjp(self, codes: SparseCodes, pre_acts: Float[Tensor, " nnz"], at: StepContext | None) -> ActivationVJP:
        """`activations` and their derivative on a CPU, where an architecture has something faster than autograd."""
        return AutogradVJP(self.activations, self.by_feature(), codes, pre_acts, at)

    def observe(self, codes: Codes, pre_acts: Tensor, at: StepContext) -> None:
        """What an architecture keeps track of over training batches: called with the entries of each."""

    def set_precision(self, precision: str) -> None:
        self.precision = precision

    # The training step, from top to bottom

    @torch.no_grad()
    def take_gradients(self, x: Float[Tensor, "batch d_in"], at: StepContext) -> ElementwiseStep:
        """The gradients of `training_losses(x, at).total(at.sparsity_coefficient)`, without the terms that are zero."""
        centred, scale, terms = x - self.b_dec, 2 / len(x), self.objective.decoded  # [batch, d_in]
        dense = product(centred, self.W_enc, self.precision)  # [batch, d_sae]
        codes, pre_acts, sparse = self.selector.select(self, dense, at)  # [nnz] or [batch, d_sae]
        self.observe(codes, pre_acts, at)
        dead = DeadStep.of(self, dense, at)
        slopes = self._penalty_slopes(codes, pre_acts, at, len(x))
        forward_backward = self._forward_backward if sparse else self._forward_backward_in_chunks
        W_dec = self.W_dec if sparse else rounded(self.W_dec, self.precision)
        decoded, penalised, found, grads = forward_backward(codes, pre_acts, centred, W_dec, at, slopes, scale)
        gradients: dict[str, ParameterGrad] = dict(grads.parameters)
        gradients["W_enc"] = codes.weight_grad(WeightGradTerm(grads.pre_acts, centred))  # [d_sae, d_in]
        pre_acts_sum = grads.pre_acts_sum
        del dense, pre_acts, grads, W_dec  # a dense step's largest tensors
        trains = [each for each in zip(terms, decoded, found, strict=True) if each[0].trains_decoder]
        weights = [WeightGradTerm(f, of.rows, term.prefixes) for term, f, of in trains]
        gradients["W_dec"] = codes.weight_grad(*weights, scale=scale)  # [d_sae, d_in]
        through_decoder = scale * sum(error.sum(0) for _, _, of in trains for error in of.errors)
        gradients["b_dec"] = through_decoder - weighted_sum(pre_acts_sum, self.W_enc.T)  # [d_in]
        flops = 2 * self.d_in * (len(x) * self.d_sae + (self.dense_products - 1) * decoded[0].numel())
        if dead:
            dead.add_gradients(gradients, centred, found[0].errors[-1], scale)
            flops += dead.flops
        batch_errors = [each.errors for each in found]
        return ElementwiseStep(
            gradients, sparse, codes, decoded[0], penalised, flops, self.objective.penalties, batch_errors, dead
        )

    def _penalty_slopes(self, codes: Codes, pre_acts: Tensor, at: StepContext, batch: int) -> list[float]:
        """Of each penalty: the derivative of the loss with respect to each of its entries."""
        penalties, per_input = self.objective.penalties, at.sparsity_coefficient / batch
        if all(penalty.target is None for penalty in penalties):
            return [per_input for _ in penalties]
        sums: list[list[float]] = [[] for _ in penalties]
        for part, of_part in self._chunks(codes, pre_acts):
            values = self._vjp(part, of_part, at).values
            for total, penalty in zip(sums, penalties, strict=True):
                total.extend(part.sum(values[penalty.of]).tolist())
        means = [math.fsum(total) / batch for total in sums]
        return [per_input * penalty.slope(mean) for penalty, mean in zip(penalties, means, strict=True)]

    def _forward_backward(
        self, codes: Codes, pre_acts: Tensor, centred: Float[Tensor, "batch d_in"], W_dec: Float[Tensor, "d_sae d_in"],
        at: StepContext, slopes: Sequence[float], scale: float,
    ) -> ForwardBackward:  # fmt: skip
        vjp, (terms, penalties, _) = self._vjp(codes, pre_acts, at), self.objective
        values = vjp.values
        decoded = [values[term.of] for term in terms]
        if any(term.prefixes for term in terms):
            nested = zip(decoded, terms, strict=True)
            found = [codes.reconstruct_nested(f, term.prefixes, W_dec, centred, scale) for f, term in nested]
        else:
            found = codes.reconstruct(decoded, W_dec, centred, scale)
        grads: dict[str, Tensor] = {}  # with respect to the activations
        for term, of in zip(terms, found, strict=True):
            grads[term.of] = grads[term.of] + of.grad if term.of in grads else of.grad
        for penalty, slope in zip(penalties, slopes, strict=True):
            so_far = grads.get(penalty.of)
            grads[penalty.of] = torch.full_like(values[penalty.of], slope) if so_far is None else so_far.add_(slope)
        errors = [of.without_grad() for of in found]
        del found  # its memory is for the backward pass
        return ForwardBackward(decoded, [values[p.of] for p in penalties], errors, vjp.backward(grads))

    def _vjp(self, codes: Codes, pre_acts: Tensor, at: StepContext) -> ActivationVJP:
        if isinstance(codes, SparseCodes):
            return self.sparse_vjp(codes, pre_acts, at)
        return AutogradVJP(self.activations, self.by_feature(), codes, pre_acts, at)

    def _chunks(self, codes: Codes, pre_acts: Tensor) -> Iterator[tuple[Codes, Tensor]]:
        """Dense codes some rows at a time; sparse ones as a whole."""
        if not isinstance(codes, DenseCodes):
            yield codes, pre_acts
            return
        rows = self.rows_per_chunk()
        for start in range(0, len(pre_acts), rows):
            part = slice(start, start + rows)
            yield codes.of_rows(part), pre_acts[part]

    def _forward_backward_in_chunks(
        self, codes: Codes, pre_acts: Float[Tensor, "batch d_sae"], centred: Float[Tensor, "batch d_in"],
        W_dec: Float[Tensor, "d_sae d_in"], at: StepContext, slopes: Sequence[float], scale: float,
    ) -> ForwardBackward:  # fmt: skip
        """As `_forward_backward` of dense codes, some rows at a time; gradients overwrite the pre-activations."""
        rows = self.rows_per_chunk()
        if len(pre_acts) <= rows:
            return self._forward_backward(codes, pre_acts, centred, W_dec, at, slopes, scale)
        decoded: list[Tensor] = []
        chunks: list[ForwardBackward] = []
        for number, (part, chunk) in enumerate(self._chunks(codes, pre_acts)):
            of_x = centred.split(rows)[number]
            found = self._forward_backward(part, chunk, of_x, W_dec, at, slopes, scale)
            decoded = decoded or [torch.empty_like(pre_acts) for _ in found.decoded]
            for whole, values in zip(decoded, found.decoded, strict=True):
                whole.split(rows)[number].copy_(values)
            chunk.copy_(found.grads.pre_acts)
            penalised = [part.sum(values) for values in found.penalised]
            chunks.append(ForwardBackward([], penalised, found.reconstructions, found.grads._replace(pre_acts=chunk)))
            del found  # its memory is for the next chunk
        penalised = [torch.stack(each) for each in zip(*(chunk.penalised for chunk in chunks), strict=True)]
        found_by_term = [joined(each) for each in zip(*(chunk.reconstructions for chunk in chunks), strict=True)]
        return ForwardBackward(decoded, penalised, found_by_term, _sum([chunk.grads for chunk in chunks], pre_acts))

    def rows_per_chunk(self) -> int:
        return max(1, MAX_ELEMENTS // self.d_sae)

    def by_feature(self) -> dict[str, Tensor]:
        """Numbers [d_sae] that `activations` reads, by name."""
        return {each.name: getattr(self, each.name) for each in self.feature_parameters}

    # The same mathematics for inference and for autograd

    def pre_acts(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        return product(x - self.b_dec, self.W_enc)

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        pre_acts = self.pre_acts(x)
        return self._dense_values(PreActs(pre_acts, pre_acts), None)[self.objective.features]

    @torch.no_grad()
    def encode_sparse(self, x: Float[Tensor, "batch d_in"]) -> tuple[Codes, Tensor]:
        codes, values, _ = self.selector.select(self, self.pre_acts(x), None)
        parameters = {name: codes.expand(value) for name, value in self.by_feature().items()}
        for part, chunk in self._chunks(codes, values):
            f = self.activations(PreActs(chunk, chunk), parameters, None)[self.objective.features]
            chunk.copy_(part.selected(f))
        return codes, values

    def training_losses(self, x: Float[Tensor, "batch d_in"], at: StepContext) -> Losses:
        """The loss for autograd: the reference for the training step."""
        encoded, (terms, penalties, dead) = x @ self.W_enc, self.objective
        pre_acts = PreActs(encoded - self.b_dec @ self.W_enc, encoded - self.b_dec.detach() @ self.W_enc)
        values = self._dense_values(pre_acts, at)
        reconstruction, *others = [self._decoded_loss(x, values[term.of], term) for term in terms]
        zero = x.new_zeros(())
        sparsity = sum((penalty.value(values[penalty.of].sum(1).mean()) for penalty in penalties), zero)
        auxiliary = sum(others, zero)
        f = values[self.objective.features].detach()
        if dead:
            auxiliary = auxiliary + dead_loss(self, x, pre_acts, f, at)
        return Losses(reconstruction, sparsity, auxiliary, f)

    def _dense_values(self, pre_acts: PreActs, at: StepContext | None) -> Values:
        mask, values = self.selector.mask(self, pre_acts.value, at), self.activations(pre_acts, self.by_feature(), at)
        return values if mask is None else {name: torch.where(mask, each, 0.0) for name, each in values.items()}

    def _decoded_loss(self, x: Tensor, values: Tensor, term: Decoded) -> Tensor:
        frozen = not term.trains_decoder
        W_dec, b_dec = (each.detach() if frozen else each for each in (self.W_dec, self.b_dec))
        ends = (*term.prefixes, self.d_sae)
        return torch.stack([squared_error(x, values[:, :m] @ W_dec[:m] + b_dec) for m in ends]).sum()


def _sum(grads: list[ActivationGrads], pre_acts: Float[Tensor, "batch d_sae"]) -> ActivationGrads:
    """Those of a whole batch from its chunks', in their order."""
    names = grads[0].parameters
    parameters = {name: reduce(torch.add, [each.parameters[name] for each in grads]) for name in names}
    return ActivationGrads(pre_acts, reduce(torch.add, [each.pre_acts_sum for each in grads]), parameters)
