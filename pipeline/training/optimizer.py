"""Adam with the decoder kept at unit norm."""

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.config import TrainConfig
from pipeline.sae.base import SAE


class Optimizer:
    """Adam (beta1 = 0 in the paper) on all parameters; rows of W_dec stay on the unit sphere.

    The part of W_dec's gradient along each row is taken out before Adam, and rows are renormalised after the step
    (Bricken et al.; appendix D.1.1).
    """

    def __init__(self, sae: SAE, train: TrainConfig) -> None:
        self.sae = sae
        self.adam = torch.optim.Adam(
            sae.parameters(), lr=train.lr, betas=(train.beta1, train.beta2), eps=train.epsilon, fused=True
        )

    def step(self, learning_rate: float) -> None:
        self._project_decoder_gradient()
        for group in self.adam.param_groups:
            group["lr"] = learning_rate
        self.adam.step()
        self._renormalise_decoder()

    @torch.no_grad()
    def _project_decoder_gradient(self) -> None:
        W_dec, gradient = self.sae.W_dec, self.sae.W_dec.grad
        assert gradient is not None
        along = torch.linalg.vecdot(gradient, W_dec)
        gradient.addcmul_(W_dec, along[:, None], value=-1)

    @torch.no_grad()
    def _renormalise_decoder(self) -> None:
        self.sae.W_dec.div_(torch.linalg.vector_norm(self.sae.W_dec, dim=1, keepdim=True))

    def forget(self, features: Int[Tensor, " k"]) -> None:
        """Reset the moments of all that belongs to some features."""
        for name, parameter in self.sae.named_parameters():
            if name == "b_dec" or parameter not in self.adam.state:
                continue
            for moment in ("exp_avg", "exp_avg_sq"):
                tensor = self.adam.state[parameter][moment]
                tensor[(slice(None), features) if name == "W_enc" else features] = 0.0

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts by parameter name."""
        return {
            f"adam.{name}.{key}": value
            for name, parameter in self.sae.named_parameters()
            for key, value in self.adam.state.get(parameter, {}).items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        for name, parameter in self.sae.named_parameters():
            prefix = f"adam.{name}."
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if state:
                self.adam.state[parameter] = state
