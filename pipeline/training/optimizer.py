"""Adam with the decoder kept at unit norm."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.optim.adam import adam as adam_of_torch

from pipeline.config.schema import TrainConfig
from pipeline.sae.base import SAE, by_feature
from pipeline.sae.kernels.adam_cpu import adam, adam_deferred, adam_vectors
from pipeline.sae.kernels.jit import split
from pipeline.sae.sparse_step.codes import ParameterGrad, materialize
from pipeline.sae.sparse_step.codes_cpu import DeferredGradCPU


@dataclass
class Moments:
    """Adam's state of one parameter, in its shape (W_enc as [d_sae, d_in]); no mean if beta1 is 0."""

    exp_avg_sq: Tensor
    exp_avg: Tensor | None = None

    @classmethod
    def of(cls, values: Tensor, beta1: float) -> "Moments":
        return cls(torch.zeros_like(values), torch.zeros_like(values) if beta1 else None)

    def mean_and_square(self) -> tuple[Tensor, Tensor]:
        """For the compiled loops, which read the first only if there is a mean."""
        return self.exp_avg_sq if self.exp_avg is None else self.exp_avg, self.exp_avg_sq

    def named(self) -> dict[str, Tensor]:
        return {field.name: tensor for field in fields(self) if (tensor := getattr(self, field.name)) is not None}


class Optimizer:
    """Adam (beta1 = 0 in the paper) on all parameters; rows of W_dec stay on the unit sphere.

    The part of W_dec's gradient along each row is removed before Adam, and rows are renormalised after the step
    (Bricken et al.; appendix D.1.1). Adam sees W_enc as [d_sae, d_in], as it is stored in memory.
    """

    def __init__(self, sae: SAE, train: TrainConfig) -> None:
        self.sae, self.train = sae, train
        self.moments: dict[str, Moments] = {}
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Mapping[str, ParameterGrad], learning_rate: float) -> None:
        """Move each parameter by its gradient; gradients that are tensors may be overwritten."""
        self.steps += 1
        vectors: dict[str, Tensor] = {}
        for name, gradient in gradients.items():
            values = by_feature(name, getattr(self.sae, name))
            if name not in self.moments:
                self.moments[name] = Moments.of(values, self.train.beta1)
            on_cpu = values.device.type == "cpu"
            if on_cpu and values.ndim == 1:
                vectors[name] = materialize(gradient)
                continue
            if isinstance(gradient, Tensor):
                move = self._move_on_cpu if on_cpu else self._move_by_torch
            else:
                move = self._move_on_cpu if isinstance(gradient, DeferredGradCPU) else self._move_by_triton
            move(values, gradient, self.moments[name], learning_rate, unit=name == "W_dec")
        if vectors:
            self._move_vectors_on_cpu(vectors, learning_rate)

    def _factors(self, learning_rate: float) -> tuple[float, ...]:
        """Step size with beta1's bias correction, betas, beta2's correction of the root, epsilon."""
        train = self.train
        step_size = learning_rate / (1 - train.beta1**self.steps)
        return step_size, train.beta1, train.beta2, 1 / (1 - train.beta2**self.steps) ** 0.5, train.epsilon

    def _numbers(self, values: Tensor, learning_rate: float) -> tuple[Any, ...]:
        """The compiled loops' arguments next to arrays: factors, and whether there is a mean."""
        number = values.numpy().dtype.type
        return *map(number, self._factors(learning_rate)), self.train.beta1 != 0

    def _move_vectors_on_cpu(self, gradients: Mapping[str, Tensor], learning_rate: float) -> None:
        """One call for all vectors [d]: one call per vector would cost more than its work."""
        each = [
            (gradient.contiguous(), getattr(self.sae, name), *self.moments[name].mean_and_square())
            for name, gradient in gradients.items()
        ]
        arrays = (tuple(tensor.numpy() for tensor in tensors) for tensors in zip(*each, strict=True))
        adam_vectors(*arrays, *self._numbers(each[0][1], learning_rate))

    def _move_on_cpu(
        self, values: Tensor, gradient: ParameterGrad, moments: Moments, learning_rate: float, unit: bool
    ) -> None:
        """One pass over a CPU's memory."""
        rows = [tensor.numpy() for tensor in (values, *moments.mean_and_square())]
        common = (*rows, *self._numbers(values, learning_rate), unit)
        if isinstance(gradient, DeferredGradCPU):
            work = 8 * values.numel() + len(gradient.values) * values.shape[1]
            split(adam_deferred, (*gradient.arrays(), *common), gradient.starts, work)
        else:
            split(adam, (materialize(gradient).numpy(), *common), len(values), 8 * values.numel())

    def _move_by_triton(
        self, values: Tensor, gradient: ParameterGrad, moments: Moments, learning_rate: float, unit: bool
    ) -> None:
        """One pass over a GPU's memory."""
        from pipeline.sae.kernels import adam_gpu as adam_on_gpu
        from pipeline.sae.sparse_step.codes_gpu import DeferredGradGPU

        assert isinstance(gradient, DeferredGradGPU)
        factors = self._factors(learning_rate)
        adam_on_gpu.adam_deferred(gradient, values, moments.exp_avg, moments.exp_avg_sq, factors, unit)

    def _move_by_torch(
        self, values: Tensor, gradient: ParameterGrad, moments: Moments, learning_rate: float, unit: bool
    ) -> None:
        """The same with PyTorch's kernels."""
        gradient = materialize(gradient)
        if unit:
            along = torch.linalg.vecdot(gradient, values)
            gradient.addcmul_(values, along[:, None], value=-1)
        steps = torch.full((), self.steps - 1.0, device=values.device)
        mean = torch.zeros_like(gradient) if moments.exp_avg is None else moments.exp_avg
        adam_of_torch(
            [values], [gradient], [mean], [moments.exp_avg_sq], [], [steps], fused=True, amsgrad=False,
            beta1=self.train.beta1, beta2=self.train.beta2, lr=learning_rate, weight_decay=0.0,
            eps=self.train.epsilon, maximize=False,
        )  # fmt: skip
        if unit:
            values.div_(torch.linalg.vector_norm(values, dim=1, keepdim=True))

    def forget(self, features: Int[Tensor, " k"]) -> None:
        """Reset the moments of these features' parameters."""
        for name, moments in self.moments.items():
            if name != "b_dec":
                for moment in moments.named().values():
                    moment[features] = 0.0

    def state(self) -> dict[str, Tensor]:
        """Moments by parameter name, and the number of steps."""
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
