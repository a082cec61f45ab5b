"""Training written down from the paper alone, in NumPy: what the pipeline's own mathematics is held against."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

Arrays = dict[str, np.ndarray]


def train_plainly(
    parameters: Arrays, gradients: Callable[[Arrays, np.ndarray], Arrays], batches: Iterable[np.ndarray], rate: float
) -> Arrays:
    """Adam with beta1 = 0 and beta2 = 0.999, on unit decoder rows and gradients orthogonal to them (appendix D.1.1)."""
    parameters = {name: value.copy() for name, value in parameters.items()}
    second_moments = {name: np.zeros_like(value) for name, value in parameters.items()}
    for t, x in enumerate(batches, start=1):
        gradient = gradients(parameters, x)
        decoder = parameters["W_dec"]
        for i in range(len(decoder)):
            gradient["W_dec"][i] -= (gradient["W_dec"][i] @ decoder[i]) * decoder[i]
        for name, g in gradient.items():
            second_moments[name] = 0.999 * second_moments[name] + 0.001 * g * g
            unbiased = second_moments[name] / (1 - 0.999**t)
            parameters[name] = parameters[name] - rate * g / (np.sqrt(unbiased) + 1e-8)
        parameters["W_dec"] /= np.sqrt((parameters["W_dec"] ** 2).sum(1, keepdims=True))
    return parameters


@pytest.fixture
def plain_training() -> Callable[..., Arrays]:
    return train_plainly
