"""Clean and ablated cross-entropies: computed once for all runs that share them, stored once, referred to by hash."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor

from pipeline.files import write_safetensors
from pipeline.identity import short_hash
from pipeline.language_model import LanguageModel
from pipeline.tokens.contexts import Contexts


def counted_predictions(special: Bool[Tensor, "batch pos"]) -> Bool[Tensor, "batch predictions"]:
    """Predictions made from non-special positions; the last position predicts nothing that is known."""
    return ~special[:, :-1]


def summed(losses: Float[Tensor, "batch predictions"], special: Bool[Tensor, "batch pos"]) -> Float[Tensor, " batch"]:
    """Cross-entropy of each sequence, summed in float64 over the predictions that count."""
    counted = counted_predictions(special).to(losses.device)
    return torch.where(counted, losses.double(), 0.0).sum(1).cpu()


def batches(contexts: Contexts, size: int) -> Iterator[tuple[slice, Contexts]]:
    for start in range(0, len(contexts), size):
        rows = slice(start, start + size)
        yield rows, contexts[rows]


@dataclass(frozen=True)
class References:
    """What every run of a (model, data, evaluation) is compared with; sums per sequence, float64."""

    ce_clean: Float[Tensor, " n"]
    ce_zero: dict[str, Float[Tensor, " n"]]  # by hook
    ce_mean: dict[str, Float[Tensor, " n"]]
    predictions: Int[Tensor, " n"]
    document: Int[Tensor, " n"]
    stored: dict[str, str]  # hash of the file that holds clean losses (key "clean") and each hook's ablated losses


def references(
    language_model: LanguageModel, contexts: Contexts, batch: int, means: dict[str, Float[Tensor, " d_in"]],
    identity: str, folder: Path,
) -> References:  # fmt: skip
    """Read the references from `folder`, or compute what is missing and store it there.

    Args:
        means: per-coordinate mean at each hook over the calibration activations, for mean ablation.
        identity: hash of model, evaluation tokens and batch shape.
    """
    clean_hash = short_hash([identity, "clean"])
    clean = _stored(folder / f"{clean_hash}.safetensors", lambda: _clean(language_model, contexts, batch))
    hashes, zero, mean = {"clean": clean_hash}, {}, {}
    for hook, value in means.items():
        hashes[hook] = short_hash([identity, hook, value.double().tolist()])
        path = folder / f"{hashes[hook]}.safetensors"
        ablated = _stored(path, lambda h=hook, v=value: _ablated(language_model, contexts, batch, h, v))
        zero[hook], mean[hook] = ablated["ce_zero"], ablated["ce_mean"]
    return References(clean["ce_clean"], zero, mean, clean["predictions"], clean["document"], hashes)


def _stored(path: Path, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    if path.is_file():
        return dict(load_file(path))
    tensors = compute()
    write_safetensors(path, tensors)
    return tensors


def _clean(language_model: LanguageModel, contexts: Contexts, batch: int) -> dict[str, Tensor]:
    sums = [summed(language_model.clean(part.tokens, [])[0], part.special) for _, part in batches(contexts, batch)]
    predictions = counted_predictions(contexts.special).sum(1)
    return {"ce_clean": torch.cat(sums), "predictions": predictions, "document": contexts.document}


def _ablated(
    language_model: LanguageModel, contexts: Contexts, batch: int, hook: str, mean: Float[Tensor, " d_in"]
) -> dict[str, Tensor]:
    zero_sums: list[Tensor] = []
    mean_sums: list[Tensor] = []
    for _, part in batches(contexts, batch):
        means = mean.to(language_model.device).expand(*part.tokens.shape, -1)
        where = ~part.special.to(language_model.device)
        for sums, replacement in ((zero_sums, torch.zeros_like(means)), (mean_sums, means)):
            losses = language_model.spliced(part.tokens, hook, replacement, where)
            sums.append(summed(losses, part.special))
    return {"ce_zero": torch.cat(zero_sums), "ce_mean": torch.cat(mean_sums)}
