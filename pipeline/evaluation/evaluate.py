"""Evaluation of all runs of a pack in one pass over the held-out contexts."""

import math
import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import Interrupted
from pipeline.evaluation.metrics import metrics
from pipeline.evaluation.references import References, batches, summed
from pipeline.evaluation.sums import EvaluationSums
from pipeline.language_model import LanguageModel
from pipeline.sae.base import SAE
from pipeline.tokens.contexts import Contexts


@torch.no_grad()
def evaluate(
    language_model: LanguageModel, contexts: Contexts, batch: int, saes: Mapping[str, tuple[str, SAE]],
    stop: threading.Event,
) -> dict[str, dict[str, Tensor]]:  # fmt: skip
    """Sums of every SAE; one clean pass serves all of them, and each has one spliced pass a batch, from its site on.

    Args:
        saes: hook name and SAE (on unscaled activations) of each run.

    Raises:
        Interrupted: `stop` was set; an evaluation begun is begun anew.
    """
    sums = {name: EvaluationSums(sae, len(contexts)) for name, (_, sae) in saes.items()}
    hooks = sorted({hook for hook, _ in saes.values()})
    for rows, part in batches(contexts, batch):
        if stop.is_set():
            raise Interrupted
        prefix = language_model.prefix(part.tokens, hooks)
        where = ~part.special.to(language_model.device)
        for name, (hook, _) in saes.items():
            reconstruction = sums[name].add(rows, prefix.activations[hook], part.special)
            losses = language_model.spliced(prefix, hook, reconstruction, where)
            sums[name].put_cross_entropy(rows, summed(losses, part.special))
    return {name: total.tensors() for name, total in sums.items()}


def metrics_of(sums: dict[str, Tensor], reference: References, hook: str) -> dict[str, Any]:
    """Metrics of one run against the references of its hook."""
    clean, zero, mean = reference.ce_clean, reference.ce_zero[hook], reference.ce_mean[hook]
    predictions = int(reference.predictions.sum())
    return metrics(sums, predictions, *(math.fsum(losses.tolist()) for losses in (clean, zero, mean)))
