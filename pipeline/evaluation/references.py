"""Clean and ablated cross-entropies: computed and stored once for all runs that share them, and referred to by hash."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.errors import DamagedFile
from pipeline.language_model.model import LanguageModel
from pipeline.storage.files import short_hash, write_safetensors
from pipeline.storage.phases import phase
from pipeline.storage.reading import read_safetensors, say
from pipeline.tokens.contexts import Contexts

ABLATIONS = ("ce_zero", "ce_mean")
CLEAN = ("ce_clean", "predictions", "document")


def counted_predictions(special: Bool[Tensor, "batch pos"]) -> Bool[Tensor, "batch predictions"]:
    """Which predictions count: of non-special tokens, at non-special positions. The last position predicts nothing.

    How well a model predicts a separator depends on its training, and says nothing about an SAE.
    """
    return ~special[:, :-1] & ~special[:, 1:]


def summed(losses: Float[Tensor, "batch predictions"], special: Bool[Tensor, "batch pos"]) -> Float[Tensor, " batch"]:
    """Cross-entropy of each sequence, summed in float64 over the predictions that count."""
    counted = counted_predictions(special).to(losses.device)
    return torch.where(counted, losses.double(), 0.0).sum(1).cpu()


def batches(contexts: Contexts, size: int) -> Iterator[tuple[slice, Contexts]]:
    """Contexts a batch at a time, each with its rows; the last batch may be smaller."""
    for start in range(0, len(contexts), size):
        rows = slice(start, start + size)
        yield rows, contexts[rows]


@dataclass(frozen=True)
class References:
    """Losses that every run of a (model, data, evaluation) is compared with: sums per sequence in nats, float64."""

    ce_clean: Float[Tensor, " n"]
    ce_zero: dict[str, Float[Tensor, " n"]]  # by hook
    ce_mean: dict[str, Float[Tensor, " n"]]
    predictions: Int[Tensor, " n"]
    document: Int[Tensor, " n"]
    stored: dict[str, str]  # hash of the file that holds clean losses (key "clean") and each hook's ablated losses


@phase("evaluation")
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
    hashes = {hook: short_hash([identity, hook, mean.double().tolist()]) for hook, mean in means.items()}
    paths = {name: folder / f"{hash_}.safetensors" for name, hash_ in (hashes | {"clean": clean_hash}).items()}
    stored = {name: tensors for name, path in paths.items() if (tensors := _read(path, name, len(contexts)))}
    computed = {} if len(stored) == len(paths) else _computed(language_model, contexts, batch, means, set(stored))
    for name, tensors in computed.items():
        write_safetensors(paths[name], tensors)
    stored |= computed
    clean = stored["clean"]
    zero, mean = ({hook: stored[hook][name] for hook in means} for name in ABLATIONS)
    return References(
        clean["ce_clean"], zero, mean, clean["predictions"], clean["document"], hashes | {"clean": clean_hash}
    )


def _read(path: Path, name: str, count: int) -> dict[str, Tensor] | None:
    """Stored losses; None if there is no file or a damaged one, which is computed again."""
    try:
        found = read_safetensors(path)
        if [len(found.get(part, ())) for part in (CLEAN if name == "clean" else ABLATIONS)] != [count] * len(found):
            raise DamagedFile(path, "it holds other losses")
        return found
    except FileNotFoundError:
        return None
    except DamagedFile as error:
        say(f"{error}: computed again")
        return None


def _computed(
    language_model: LanguageModel, contexts: Contexts, batch: int, means: dict[str, Float[Tensor, " d_in"]],
    stored: set[str],
) -> dict[str, dict[str, Tensor]]:  # fmt: skip
    """Losses that are not stored yet: clean, and zero- and mean-ablated at each hook, from one pass up to the hooks."""
    missing = {hook: mean for hook, mean in means.items() if hook not in stored}
    sums = {hook: {name: torch.zeros(len(contexts), dtype=torch.float64) for name in ABLATIONS} for hook in missing}
    clean, last = torch.zeros(len(contexts), dtype=torch.float64), max(means)
    for rows, part in batches(contexts, batch):
        prefix = language_model.prefix(part.tokens, sorted({*missing, last}))
        where = ~part.special.to(language_model.device)
        for hook, mean in missing.items():
            means_there = mean.to(language_model.device).expand(*part.tokens.shape, -1)
            for name, replacement in zip(ABLATIONS, (torch.zeros_like(means_there), means_there), strict=True):
                losses = language_model.spliced(prefix, hook, replacement, where)
                sums[hook][name][rows] = summed(losses, part.special)
        if "clean" not in stored:  # nothing is replaced: the same bits as in a pass of its own
            losses = language_model.spliced(prefix, last, prefix.activations[last], where)
            clean[rows] = summed(losses, part.special)
    if "clean" in stored:
        return sums
    predictions = counted_predictions(contexts.special).sum(1)
    return sums | {"clean": {"ce_clean": clean, "predictions": predictions, "document": contexts.document}}
