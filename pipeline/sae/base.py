"""The base class of every architecture: what they share, and what each defines.

Rows of W_dec are features. Inputs are `x: Float[Tensor, "batch d_in"]`, features `f: Float[Tensor, "batch d_sae"]`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.sae.objective import StepContext
from pipeline.sae.precision import FLOAT32, product
from pipeline.sae.sparse_step.codes import Codes, DenseCodes, ParameterGrad


class Step(Protocol):
    """Result of one training step; the loss and L0 are computed when the history asks for them."""

    @property
    def gradients(self) -> Mapping[str, ParameterGrad]:
        """By parameter name; of W_enc as [d_sae, d_in]."""
        ...

    @property
    def sparse(self) -> bool: ...

    @property
    def flops(self) -> int | None:
        """Floating-point operations of its matrix products; None without `dense_products`."""
        ...

    def fired(self) -> Bool[Tensor, " d_sae"]:
        """Which features had an activation above zero somewhere in the batch."""
        ...

    def l0(self) -> float: ...

    def terms(self) -> tuple[float, float, float]:
        """Reconstruction, sparsity and auxiliary term, as in `Losses`."""
        ...


class Losses(NamedTuple):
    """Terms of the loss, each summed over dimensions or features and averaged over the batch."""

    reconstruction: Tensor  # ||x - x_hat||^2
    sparsity: Tensor  # what lambda multiplies
    auxiliary: Tensor  # all others, with their weights
    f: Tensor  # features of this batch, detached: [batch, d_sae]

    def total(self, sparsity_coefficient: float) -> Tensor:
        """The whole loss: equation 8 of the paper, or equation 4 where the auxiliary term is zero."""
        return self.reconstruction + sparsity_coefficient * self.sparsity + self.auxiliary


@dataclass(frozen=True)
class PerFeature:
    """A parameter of shape [d_sae]."""

    name: str
    start: float = 0.0  # its value in a new feature, and in one that is re-initialised
    scales: bool = True  # in proportion to the feature, when the decoder's norm is folded into it


@dataclass(frozen=True)
class AutogradStep:
    """A step of any SAE, by autograd."""

    losses: Losses
    gradients: Mapping[str, Tensor]
    flops: int | None
    sparse: bool = False

    def fired(self) -> Bool[Tensor, " d_sae"]:
        return self.losses.f.amax(0) > 0

    def l0(self) -> float:
        return (self.losses.f > 0).sum().item() / len(self.losses.f)

    def terms(self) -> tuple[float, float, float]:
        return self.losses.reconstruction.item(), self.losses.sparsity.item(), self.losses.auxiliary.item()


class SAE(nn.Module):
    """A sparse autoencoder with encoder W_enc [d_in, d_sae] and decoder W_dec [d_sae, d_in].

    An architecture adds its parameters per feature, `encode` and `training_losses`. Most derive from ElementwiseSAE
    (sparse_step/step.py), whose step skips zeros; any other is trained by autograd. Both matrices are stored feature by
    feature.
    """

    feature_parameters: ClassVar[tuple[PerFeature, ...]] = ()
    feature_buffers: ClassVar[tuple[str, ...]] = ()
    """Names of what training keeps track of per feature, in proportion to it."""
    dense_products: int | None = None
    """Matrix products of batch x d_in x d_sae in a dense training step, forward and backward.

    Decoding takes three: the product, and the gradients of what is decoded and of the decoder; two where the decoder is
    frozen. The encoder takes two: the product, and the gradient of W_enc. If an architecture does not define it,
    records have blanks where they count operations.
    """

    def __init__(self, config: Any, d_in: int, d_sae: int) -> None:
        super().__init__()
        self.config, self.d_in, self.d_sae = config, d_in, d_sae
        self.W_enc = nn.Parameter(torch.zeros(d_sae, d_in).T)
        self.W_dec = nn.Parameter(torch.zeros(d_sae, d_in))
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        for each in self.feature_parameters:
            self.register_parameter(each.name, nn.Parameter(torch.full((d_sae,), each.start)))

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        """Features of activations; zero where a feature does not fire."""
        raise NotImplementedError

    def decode(self, f: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_in"]:
        """Equation 3 of the paper."""
        return product(f, self.W_dec) + self.b_dec

    def encode_sparse(self, x: Float[Tensor, "batch d_in"]) -> tuple[Codes, Tensor]:
        """The features of a batch as codes, and their values; all others are zero."""
        return DenseCodes(), self.encode(x)

    def forward(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_in"]:
        """The reconstruction x_hat of x."""
        return self.decode(self.encode(x))

    def training_losses(self, x: Float[Tensor, "batch d_in"], at: StepContext) -> Losses:
        """The terms of the loss, from which autograd can compute gradients."""
        raise NotImplementedError

    def take_gradients(self, x: Float[Tensor, "batch d_in"], at: StepContext) -> Step:
        """Gradients of the whole loss with respect to every parameter: here by autograd, for any architecture."""
        losses, parameters = self.training_losses(x, at), dict(self.named_parameters())
        total = losses.total(at.sparsity_coefficient)
        gradients = torch.autograd.grad(total, list(parameters.values()), materialize_grads=True)
        named = {name: by_feature(name, gradient) for name, gradient in zip(parameters, gradients, strict=True)}
        return AutogradStep(losses, named, dense_flops(self.dense_products, len(x), self.d_in, self.d_sae))

    def set_precision(self, precision: str) -> None:
        """Choose the precision of the training step's matrix products: here float32 alone.

        Raises:
            UserError: another one, which a step by autograd does not have.
        """
        if precision != FLOAT32:
            raise UserError(f"train.precision={precision}: {self.config.name} is trained by autograd, in {FLOAT32}")

    @torch.no_grad()
    def fold_input_scale(self, scale: float) -> None:
        """Turn an SAE trained on scale * x into one that reads and writes x."""
        self.W_enc *= scale
        self.W_dec /= scale
        self.b_dec /= scale

    @torch.no_grad()
    def fold_decoder_norm(self) -> None:
        """Normalise the decoder's rows and scale the features to match; the reconstruction stays the same."""
        norm = self.W_dec.norm(dim=1)
        self.W_dec /= norm[:, None]
        self.W_enc *= norm
        for name in [each.name for each in self.feature_parameters if each.scales] + list(self.feature_buffers):
            getattr(self, name).mul_(norm)

    @torch.no_grad()
    def reinitialise(
        self, features: Int[Tensor, " k"], directions: Float[Tensor, "k d_in"], encoder_norm: float
    ) -> None:
        """Point features along unit directions, with their other parameters as they start."""
        self.W_dec[features] = directions
        self.W_enc[:, features] = encoder_norm * directions.T
        for each in self.feature_parameters:
            getattr(self, each.name)[features] = each.start


def by_feature(name: str, tensor: Float[Tensor, "..."]) -> Tensor:
    """A parameter, its gradient or its moment as stored in memory: W_enc as [d_sae, d_in]."""
    return tensor.T if name == "W_enc" else tensor


def dense_flops(products: int | None, batch: int, d_in: int, d_sae: int) -> int | None:
    """Of this many dense products: one multiplication and one addition per element of batch x d_in x d_sae."""
    return None if products is None else 2 * products * batch * d_in * d_sae


def squared_error(x: Float[Tensor, "batch d_in"], x_hat: Float[Tensor, "batch d_in"]) -> Tensor:
    """Mean over the batch of ||x - x_hat||^2; summed row by row, so that the number of threads changes no bit."""
    return (x_hat - x).square().sum(1).mean()
