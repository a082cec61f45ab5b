"""Held-out metrics of one SAE from its sums over contexts, on the text as it is and on documents drawn from it."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.evaluation.references import References

METRICS = ("loss_recovered", "ce_added", "fvu", "l0", "gamma")
"""Cross-entropy added is in nats a prediction: spliced minus clean."""

SEED = 20240424


def draws(document: Int[Tensor, " contexts"], replicates: int) -> Float[Tensor, "replicates+1 contexts"]:
    """How often each context counts: once, then as often as its document is drawn; the same draws at every call."""
    number = torch.unique(document, return_inverse=True)[1]
    count = int(number.max()) + 1
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=replicates)
    return torch.from_numpy(np.concatenate((np.ones((1, count)), drawn)))[:, number]


def metrics(
    sums: Mapping[str, Tensor], reference: References, hook: str, drawn: Float[Tensor, "replicates+1 contexts"]
) -> dict[str, Float[Tensor, " replicates+1"]]:
    """Ratios of pooled sums, as `pipeline.evaluation.metrics` has them.

    The variance that FVU is a share of is the whole text's in every draw: contexts keep no sums for it.
    """
    tokens, error, sae = (drawn @ sums[name] for name in ("tokens", "error", "ce_sae"))
    clean, zero = drawn @ reference.ce_clean, drawn @ reference.ce_zero[hook]
    count = sums["tokens"].sum()
    variance = sums["x_x"].sum() / count - (sums["x_sum"] / count).square().sum()
    return {
        "loss_recovered": (zero - sae) / (zero - clean),
        "ce_added": (sae - clean) / (drawn @ reference.predictions.double()),
        "fvu": error / tokens / variance,
        "l0": drawn @ sums["l0"] / tokens,
        "gamma": drawn @ sums["xhat_xhat"] / (drawn @ sums["x_xhat"]),
    }
