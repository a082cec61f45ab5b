"""Evaluation of all runs of a pack in one pass over the held-out contexts."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import Interrupted
from pipeline.evaluation.metrics import metrics
from pipeline.evaluation.references import References, batches, summed
from pipeline.evaluation.sums import EvaluationSums
from pipeline.evaluation.user_metrics import user_metrics
from pipeline.language_model.model import LanguageModel
from pipeline.sae.base import SAE
from pipeline.storage.phases import phase
from pipeline.tokens.contexts import Contexts


@dataclass(frozen=True)
class Candidate:
    """An SAE to evaluate, on unscaled activations of its hook."""

    hook: str
    sae: SAE
    prune_below: Sequence[float] = ()  # thresholds on the SAE's activations


@phase("evaluation")
@torch.no_grad()
def evaluate(
    language_model: LanguageModel, contexts: Contexts, batch: int, candidates: Mapping[str, Candidate],
    stop: threading.Event, done: Callable[[int], None] | None = None,
) -> dict[str, list[dict[str, Tensor]]]:  # fmt: skip
    """Sums of every run's SAE as it is, then pruned at each of its thresholds.

    All share one clean pass. Each has one spliced pass per batch and threshold, from its site on.

    Args:
        done: called after each batch with the number of contexts evaluated so far.

    Raises:
        Interrupted: `stop` was set; nothing of the evaluation is kept.
    """
    sums = {
        name: [EvaluationSums(one.sae, len(contexts), below) for below in (0.0, *one.prune_below)]
        for name, one in candidates.items()
    }
    hooks = sorted({one.hook for one in candidates.values()})
    for rows, part in batches(contexts, batch):
        if stop.is_set():
            raise Interrupted
        prefix = language_model.prefix(part.tokens, hooks)
        where = ~part.special.to(language_model.device)
        for name, one in candidates.items():
            x = prefix.activations[one.hook]
            encoded = one.sae.encode_sparse(x.flatten(0, 1))
            for total in sums[name]:
                reconstruction = total.add(rows, x, encoded, part.special)
                losses = language_model.spliced(prefix, one.hook, reconstruction, where)
                total.put_cross_entropy(rows, summed(losses, part.special))
        if done:
            done(rows.start + len(part))
    return {name: [total.tensors() for total in totals] for name, totals in sums.items()}


def metrics_of(sums: dict[str, Tensor], reference: References, hook: str, alive_frequency: float) -> dict[str, Any]:
    """Metrics of one run against the references of its hook, and a user's own."""
    clean, zero, mean = reference.ce_clean, reference.ce_zero[hook], reference.ce_mean[hook]
    predictions = int(reference.predictions.sum())
    pooled = [math.fsum(losses.tolist()) for losses in (clean, zero, mean)]
    found = metrics(sums, predictions, *pooled, alive_frequency=alive_frequency)
    return found | user_metrics(sums, found)
