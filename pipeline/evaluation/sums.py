"""Sums of one run's evaluation, per sequence in float64, from which every metric and interval is computed later."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.base import SAE
from pipeline.sae.sparse_step.codes import Codes

PER_SEQUENCE = ("tokens", "l0", "x_x", "xhat_xhat", "x_xhat", "error", "cosine", "norm_ratio", "ce_sae")
"""Sums over the non-special tokens of each context; ce_sae is in nats, over its predictions.

x_x is the sum of ||x||^2, xhat_xhat of ||x_hat||^2, x_xhat of x . x_hat, error of ||x - x_hat||^2.
"""

PRUNED, UNTOUCHED = "pruned_", ("tokens", "x_x", "x_sum")


class EvaluationSums:
    """Accumulates one SAE's sums batch by batch.

    Args:
        below: activations smaller than this are set to zero (0: none).
    """

    def __init__(self, sae: SAE, sequences: int, below: float = 0.0) -> None:
        self.sae, self.below = sae, below
        self.per_sequence = {name: torch.zeros(sequences, dtype=torch.float64) for name in PER_SEQUENCE}
        self.fired = torch.zeros(sae.d_sae, dtype=torch.int64)
        self.x_sum = torch.zeros(sae.d_in, dtype=torch.float64)

    @torch.no_grad()
    def add(
        self, rows: slice, x: Float[Tensor, "batch pos d_in"], encoded: tuple[Codes, Tensor],
        special: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "batch pos d_in"]:  # fmt: skip
        """Decode one batch of contexts; returns the reconstruction, for splicing.

        Args:
            encoded: codes and values of the batch's positions, from the SAE's `encode_sparse`.
        """
        counted = ~special.to(x.device)
        codes, f = encoded
        if self.below:
            f = torch.where(f < self.below, 0.0, f)
        x_hat = (codes.decode(f, self.sae.W_dec) + self.sae.b_dec).view(x.shape)
        l0, fired = codes.counts(f, counted.flatten())
        self.fired += fired.cpu()
        exact, exact_hat = x.double(), x_hat.double()
        self.x_sum += torch.where(counted[..., None], exact, 0.0).sum((0, 1)).cpu()
        self._put(rows, counted, _per_token(exact, exact_hat) | {"l0": l0.view(counted.shape).double()})
        return x_hat

    def _put(
        self, rows: slice, counted: Bool[Tensor, "batch pos"], values: dict[str, Float[Tensor, "batch pos"]]
    ) -> None:
        self.per_sequence["tokens"][rows] = counted.double().sum(1).cpu()
        for name, value in values.items():
            self.per_sequence[name][rows] = torch.where(counted, value, 0.0).sum(1).cpu()

    def put_cross_entropy(self, rows: slice, sums: Float[Tensor, " batch"]) -> None:
        """Store the cross-entropies of a batch with the reconstruction spliced in: sums per context, nats."""
        self.per_sequence["ce_sae"][rows] = sums

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of sequences.safetensors, of an SAE as it is."""
        feature_counts: Int[Tensor, " d_sae"] = self.fired
        return self.per_sequence | {"feature_counts": feature_counts, "x_sum": self.x_sum}


def stack_sums(sums: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of sequences.safetensors: sums of an SAE as it is and, if it was pruned too, at each threshold.

    Args:
        sums: of the SAE as it is, then at each threshold.

    Returns:
        Those at thresholds are stacked, [thresholds, ...], with `PRUNED` before their names. What pruning cannot change
        is left out.
    """
    first, *pruned = sums
    names = [name for name in first if name not in UNTOUCHED] if pruned else []
    return first | {f"{PRUNED}{name}": torch.stack([each[name] for each in pruned]) for name in names}


def _per_token(
    x: Float[Tensor, "batch pos d_in"], x_hat: Float[Tensor, "batch pos d_in"]
) -> dict[str, Float[Tensor, "batch pos"]]:
    x_x, xhat_xhat, x_xhat = (x * x).sum(2), (x_hat * x_hat).sum(2), (x * x_hat).sum(2)
    norm, norm_hat = x_x.sqrt(), xhat_xhat.sqrt()
    cosine = torch.where((norm > 0) & (norm_hat > 0), x_xhat / (norm * norm_hat), 0.0)
    return {
        "x_x": x_x, "xhat_xhat": xhat_xhat, "x_xhat": x_xhat, "error": (x_hat - x).square().sum(2),
        "cosine": cosine,
        "norm_ratio": torch.where(norm > 0, norm_hat / norm, 0.0),
    }  # fmt: skip
