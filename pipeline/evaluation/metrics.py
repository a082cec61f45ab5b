"""Metrics from sums: ratios of pooled sums, never means of ratios; nothing is clipped."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

DENSITY_EDGES = torch.linspace(-6, 0, 25, dtype=torch.float64)
"""Edges of the feature-density histogram, log10 of the share of tokens on which a feature fires."""
TIMES_SEEN = 10
"""Least expected count of a feature that fires at `alive_frequency`: counts of 10 scatter by a third."""


def ratio(numerator: float, denominator: float) -> float:
    """NaN where the denominator is zero."""
    return numerator / denominator if denominator else math.nan


def loss_recovered(ce_clean: float, ce_sae: float, ce_ablated: float) -> float:
    """Equation 5: 1 when splicing costs nothing, 0 when it costs what ablation costs; may lie outside [0, 1]."""
    return ratio(ce_ablated - ce_sae, ce_ablated - ce_clean)


def gammas(x_x: float, xhat_xhat: float, x_xhat: float, error: float) -> dict[str, float]:
    """Relative reconstruction bias, below 1 when features shrink, in three forms (section 4.2, footnote 9).

    gamma is the paper's (version 2): argmin over g of E||x_hat / g - x||^2. gamma_dot is E[x_hat . x] / E||x||^2, and
    gamma_rms sqrt(E||x_hat||^2 / (E||x||^2 - E||x - x_hat||^2)); both were proposed in the discussion of version 1.
    """
    explained = ratio(xhat_xhat, x_x - error)
    return {
        "gamma": ratio(xhat_xhat, x_xhat),
        "gamma_dot": ratio(x_xhat, x_x),
        "gamma_rms": math.sqrt(explained) if explained >= 0 else math.nan,
    }


def density(feature_counts: Int[Tensor, " d_sae"], tokens: int, alive_frequency: float) -> dict[str, Any]:
    """How often features fire: shares that are alive or dead, the effective width, and the histogram of frequencies.

    Args:
        feature_counts: on how many of the tokens each feature fired.
        alive_frequency: a feature is alive that fires on at least this share of the tokens; with too few tokens to
            see that, the shares of alive and of dead features are NaN.
    """
    frequency = feature_counts.double() / tokens
    fired = frequency > 0
    seen = tokens >= tokens_needed(alive_frequency)
    alive = _share(frequency >= alive_frequency) if seen else math.nan
    histogram = torch.histogram(frequency[fired].log10().clamp(min=-6), DENSITY_EDGES)
    return {
        "alive_fraction": alive,
        "dead_fraction": 1 - alive,
        "fired_fraction": _share(fired),
        "effective_width": effective_width(feature_counts),
        "density_log10_edges": DENSITY_EDGES.tolist(),
        "density_counts": [int(n) for n in histogram.hist],
    }


def _share(features: Bool[Tensor, " d_sae"]) -> float:
    return int(features.sum()) / len(features)


def tokens_needed(alive_frequency: float) -> int:
    """With fewer tokens, a feature of this frequency is expected to fire less than TIMES_SEEN times."""
    return math.ceil(
        round(TIMES_SEEN / alive_frequency, 3)
    )  # rounded: division may give a little more than a whole number


def alive_rule(alive_frequency: float, tokens: int) -> str:
    """The rule by which features count as alive, in words; or that there are too few tokens."""
    share, needed = f"{alive_frequency:g}", tokens_needed(alive_frequency)
    if tokens >= needed:
        return f"fires on at least {share} of the held-out tokens"
    return f"not measured: {tokens:,} held-out tokens, and {needed:,} are needed to see what fires on {share} of them"


def effective_width(feature_counts: Int[Tensor, " d_sae"]) -> int:
    """The smallest number of features with 99 % of all activations above zero; 0 if nothing fires."""
    most_first = feature_counts.sort(descending=True).values.cumsum(0)
    return int((100 * most_first < 99 * most_first[-1]).sum()) + bool(most_first[-1])


def metrics(
    sums: dict[str, Tensor], predictions: int, ce_clean: float, ce_zero: float, ce_mean: float, alive_frequency: float
) -> dict[str, Any]:
    """All metrics of one run.

    Args:
        sums: as `EvaluationSums.tensors` gives them.
        predictions: how many predictions the cross-entropies, pooled sums in nats, were summed over.
        alive_frequency: as `density` takes it.
    """
    pooled = {
        name: math.fsum(tensor.tolist()) for name, tensor in sums.items() if name not in {"feature_counts", "x_sum"}
    }
    tokens = pooled["tokens"]
    x_sum: Float[Tensor, " d_in"] = sums["x_sum"]
    variance = pooled["x_x"] - math.fsum(x_sum.square().tolist()) / tokens
    clean, sae, zero, mean = (value / predictions for value in (ce_clean, pooled["ce_sae"], ce_zero, ce_mean))
    return {
        "l0": pooled["l0"] / tokens,
        "loss_recovered": loss_recovered(clean, sae, zero),
        "loss_recovered_mean_ablation": loss_recovered(clean, sae, mean),
        "ce_clean": clean, "ce_sae": sae, "ce_zero": zero, "ce_mean": mean,
        **gammas(pooled["x_x"], pooled["xhat_xhat"], pooled["x_xhat"], pooled["error"]),
        "fvu": ratio(pooled["error"], variance),
        "cosine": pooled["cosine"] / tokens,
        "norm_ratio": pooled["norm_ratio"] / tokens,
        **density(sums["feature_counts"], int(tokens), alive_frequency),
        "evaluation_tokens": int(tokens),
        "evaluation_predictions": predictions,
    }  # fmt: skip
