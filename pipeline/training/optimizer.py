"""Adam with the decoder kept at unit norm."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.adam import adam

from pipeline.config import TrainConfig
from pipeline.sae import kernels
from pipeline.sae.base import SAE


@dataclass
class Moments:
    """Adam's state of one parameter, feature by feature; no mean where beta1 is 0, which makes it the gradient."""

    exp_avg_sq: Tensor
    exp_avg: Tensor | None = None

    @classmethod
    def of(cls, values: Tensor, beta1: float) -> "Moments":
        return cls(torch.zeros_like(values), torch.zeros_like(values) if beta1 else None)

    def named(self) -> dict[str, Tensor]:
        return {field.name: tensor for field in fields(self) if (tensor := getattr(self, field.name)) is not None}


class Optimizer:
    """Adam (beta1 = 0 in the paper) on all parameters; rows of W_dec stay on the unit sphere.

    The part of W_dec's gradient along each row is taken out before Adam, and rows are renormalised after the step
    (Bricken et al.; appendix D.1.1). Adam sees W_enc feature by feature, as it lies in memory.
    """

    def __init__(self, sae: SAE, train: TrainConfig) -> None:
        self.sae, self.train = sae, train
        self.moments: dict[str, Moments] = {}
        self.steps = 0

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient by it."""
        self.steps += 1
        for name, parameter in self.sae.named_parameters():
            if parameter.grad is None:
                continue
            values, gradient = _by_feature(name, parameter), _by_feature(name, parameter.grad)
            if name not in self.moments:
                self.moments[name] = Moments.of(values, self.train.beta1)
            move = self._move if values.device.type == "cpu" else self._move_by_torch
            move(values, gradient, self.moments[name], learning_rate, unit=name == "W_dec")

    def _move(self, values: Tensor, gradient: Tensor, moments: Moments, learning_rate: float, unit: bool) -> None:
        """All in one pass over a CPU's memory."""
        train, number = self.train, values.numpy().dtype.type
        step_size = learning_rate / (1 - train.beta1**self.steps)
        root = 1 / (1 - train.beta2**self.steps) ** 0.5
        averaged, mean = moments.exp_avg is not None, gradient if moments.exp_avg is None else moments.exp_avg
        rows = [_rows(tensor).numpy() for tensor in (values, gradient, mean, moments.exp_avg_sq)]
        factors = (number(each) for each in (step_size, train.beta1, train.beta2, root, train.epsilon))
        arguments = (*rows, *factors, averaged, unit)
        kernels.split(kernels.adam, arguments, len(rows[0]), 8 * values.numel())

    def _move_by_torch(
        self, values: Tensor, gradient: Tensor, moments: Moments, learning_rate: float, unit: bool
    ) -> None:
        """The same by PyTorch's kernels."""
        if unit:
            along = torch.linalg.vecdot(gradient, values)
            gradient.addcmul_(values, along[:, None], value=-1)
        steps = torch.tensor(self.steps - 1.0, device=values.device)
        mean = torch.zeros_like(gradient) if moments.exp_avg is None else moments.exp_avg
        adam(
            [values], [gradient], [mean], [moments.exp_avg_sq], [], [steps], fused=True, amsgrad=False,
            beta1=self.train.beta1, beta2=self.train.beta2, lr=learning_rate, weight_decay=0.0,
            eps=self.train.epsilon, maximize=False,
        )  # fmt: skip
        if unit:
            values.div_(torch.linalg.vector_norm(values, dim=1, keepdim=True))

    def forget(self, features: Int[Tensor, " k"]) -> None:
        """Reset the moments of all that belongs to some features."""
        for name, moments in self.moments.items():
            if name != "b_dec":
                for moment in moments.named().values():
                    moment[features] = 0.0

    def state(self) -> dict[str, Tensor]:
        """Moments, feature by feature, by parameter name, and the number of steps."""
        found = {
            f"adam.{name}.{moment}": tensor
            for name, moments in self.moments.items()
            for moment, tensor in moments.named().items()
        }
        return found | {"adam.steps": torch.tensor(self.steps)} if found else {}

    def load(self, saved: dict[str, Tensor]) -> None:
        self.steps = int(saved.get("adam.steps", 0))
        for name, _ in self.sae.named_parameters():
            if f"adam.{name}.exp_avg_sq" in saved:
                self.moments[name] = Moments(saved[f"adam.{name}.exp_avg_sq"], saved.get(f"adam.{name}.exp_avg"))


def _by_feature(name: str, tensor: Float[Tensor, "..."]) -> Tensor:
    """The tensor, or for W_enc another view of its memory."""
    return tensor.T if name == "W_enc" else tensor


def _rows(tensor: Float[Tensor, "..."]) -> Float[Tensor, "rows n"]:
    return tensor if tensor.ndim == 2 else tensor[None]
