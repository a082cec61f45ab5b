"""What every architecture has in common, and what it says of itself.

Rows of W_dec are features. Inputs are `x: Float[Tensor, "batch d_in"]`, features `f: Float[Tensor, "batch d_sae"]`.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Losses(NamedTuple):
    """Terms of the loss, each summed over dimensions or features and averaged over the batch."""

    reconstruction: Tensor  # ||x - x_hat||^2
    sparsity: Tensor  # what lambda multiplies
    auxiliary: Tensor
    f: Tensor  # features of this batch, detached: [batch, d_sae]

    def total(self, sparsity_coefficient: float) -> Tensor:
        return self.reconstruction + sparsity_coefficient * self.sparsity + self.auxiliary


class SAE(nn.Module):
    """A sparse autoencoder with encoder W_enc [d_in, d_sae] and decoder W_dec [d_sae, d_in].

    An architecture adds its biases, `encode`, `training_losses`, and which parameters belong to one feature. It
    computes (x - b_dec) W_enc as x W_enc - b_dec W_enc: then no gradient of the batch's inputs is ever formed.
    """

    feature_parameters: ClassVar[tuple[str, ...]]
    """Parameters of shape [d_sae] that a re-initialised feature starts with at zero."""

    def __init__(self, config: Any, d_in: int, d_sae: int) -> None:
        super().__init__()
        self.config, self.d_in, self.d_sae = config, d_in, d_sae
        self.W_enc = nn.Parameter(torch.zeros(d_in, d_sae))
        self.W_dec = nn.Parameter(torch.zeros(d_sae, d_in))
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        for name in self.feature_parameters:
            self.register_parameter(name, nn.Parameter(torch.zeros(d_sae)))

    def encode(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_sae"]:
        raise NotImplementedError

    def decode(self, f: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_in"]:
        """Equation 3 of the paper."""
        return torch.addmm(self.b_dec, f, self.W_dec)

    def forward(self, x: Float[Tensor, "batch d_in"]) -> Float[Tensor, "batch d_in"]:
        return self.decode(self.encode(x))

    def training_losses(self, x: Float[Tensor, "batch d_in"]) -> Losses:
        raise NotImplementedError

    @torch.no_grad()
    def fold_input_scale(self, scale: float) -> None:
        """Make an SAE trained on scale * x one that reads and writes x."""
        self.W_enc *= scale
        self.W_dec /= scale
        self.b_dec /= scale

    @torch.no_grad()
    def fold_decoder_norm(self) -> None:
        """Give the decoder unit norm and every feature the size it then has; the reconstruction stays the same."""
        norm = self.W_dec.norm(dim=1)
        self.W_dec /= norm[:, None]
        self.W_enc *= norm
        for name in self.biases_scaled_with_features():
            getattr(self, name).mul_(norm)

    def biases_scaled_with_features(self) -> tuple[str, ...]:
        raise NotImplementedError

    @torch.no_grad()
    def reinitialise(
        self, features: Int[Tensor, " k"], directions: Float[Tensor, "k d_in"], encoder_norm: float
    ) -> None:
        """Point features along unit directions, with all else they have at zero."""
        self.W_dec[features] = directions
        self.W_enc[:, features] = encoder_norm * directions.T
        for name in self.feature_parameters:
            getattr(self, name)[features] = 0.0


def squared_error(x: Float[Tensor, "batch d_in"], x_hat: Float[Tensor, "batch d_in"]) -> Tensor:
    """Mean over the batch of ||x - x_hat||^2; summed row by row, so that the number of threads changes no bit."""
    return (x_hat - x).square().sum(1).mean()


def l1(f: Float[Tensor, "batch d_sae"]) -> Tensor:
    """Mean over the batch of ||f||_1; f is not negative."""
    return f.sum(1).mean()
