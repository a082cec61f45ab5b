"""Learning rate and sparsity coefficient as functions of the step."""

import math

from pipeline.config.schema import TrainConfig


def learning_rate(train: TrainConfig, step: int) -> float:
    """Linear warm-up, optional linear decay to zero, and after each resampling a cosine rise (appendix D.1.1)."""
    rate = train.lr
    if step < train.lr_warmup:
        rate *= (step + 1) / train.lr_warmup
    if step >= train.steps - train.lr_decay:
        rate *= (train.steps - step) / train.lr_decay
    return rate * _rewarming(train, step)


def _rewarming(train: TrainConfig, step: int) -> float:
    resample = train.resample
    since = min((step - s for s in resample.steps if s <= step), default=resample.lr_warmup)
    if since >= resample.lr_warmup:
        return 1.0
    rise = (1 - math.cos(math.pi * since / resample.lr_warmup)) / 2
    return resample.lr_factor + (1 - resample.lr_factor) * rise


def sparsity_coefficient(train: TrainConfig, coefficient: float, step: int) -> float:
    """Linear warm-up of lambda over `sparsity_warmup` steps."""
    if step >= train.sparsity_warmup:
        return coefficient
    return coefficient * (step + 1) / train.sparsity_warmup
