"""Shuffled blocks of activations for training, and the calibration set, which sets scale and mean.

A batch is a pure function of (stream seed, step): block b is the contexts [b * C, (b + 1) * C) of the source, its
activations at non-special positions are shuffled by a generator seeded with (stream seed, b), and step s takes its rows
of the block. Any position is therefore rebuilt by one block of forwards.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.config.schema import RunConfig, TrainConfig
from pipeline.language_model.model import LanguageModel
from pipeline.language_model.sites import d_in, d_sae
from pipeline.runtime.device import to_device
from pipeline.storage.phases import phase
from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import ContextSource, permutation, text_facts, training_contexts


@dataclass(frozen=True)
class StreamShape:
    """Sizes of contexts, blocks and batches."""

    context: int
    lm_batch: int
    batch: int
    contexts_per_block: int

    @classmethod
    def of(cls, train: TrainConfig, context: int) -> "StreamShape":
        """The smallest whole number of forwards that fills `train.block` activations (BOS is not one)."""
        forwards = -(-train.block // ((context - 1) * train.lm_batch))
        return cls(context, train.lm_batch, train.batch, forwards * train.lm_batch)

    @property
    def steps_per_block(self) -> int:
        return self.contexts_per_block * (self.context - 1) // self.batch

    def block_of(self, step: int) -> int:
        """The index of the block that a step, counted from 0, takes its batch from."""
        return step // self.steps_per_block

    def contexts_read(self, steps: int) -> int:
        """Contexts that training for so many steps reads."""
        return (1 + self.block_of(steps - 1)) * self.contexts_per_block


@dataclass(frozen=True)
class Block:
    """Activations of one block at each hook, unscaled, in the order of the batches."""

    index: int
    shape: StreamShape
    activations: dict[str, Float[Tensor, "rows d_in"]]

    def batch(self, hook_name: str, step: int) -> Float[Tensor, "batch d_in"]:
        """The batch of a step, counted from 0 over the whole training; a view of the block."""
        start = (step - self.index * self.shape.steps_per_block) * self.shape.batch
        return self.activations[hook_name][start : start + self.shape.batch]


@phase("block")
def read_block(
    language_model: LanguageModel,
    source: ContextSource,
    shape: StreamShape,
    hooks: Sequence[str],
    index: int,
    seed: int,
) -> Block:
    """Run the language model over one block of contexts; write activations to their shuffled places."""
    contexts = source.read(index * shape.contexts_per_block, shape.contexts_per_block)
    rows = int((~contexts.special).sum())
    # special tokens inside contexts leave fewer rows than the block has places: the first rows are repeated
    places = torch.arange(shape.steps_per_block * shape.batch) % rows
    ordered = permutation(rows, seed, index)[places].sort(stable=True)  # rows in rising order, and the place of each
    activations: dict[str, Tensor] = {}
    first = 0
    for batch, positions in _forwards(contexts, shape.lm_batch):
        start, end = torch.searchsorted(ordered.values, torch.tensor([first, first + len(positions)])).tolist()
        taken = to_device(positions[ordered.values[start:end] - first], language_model.device)
        to = to_device(ordered.indices[start:end], language_model.device)
        for hook, activation in language_model.activations(batch.tokens, hooks).items():
            if hook not in activations:
                activations[hook] = activation.new_empty(len(places), activation.shape[-1])
            activations[hook].index_copy_(0, to, activation.flatten(0, 1).index_select(0, taken))
        first += len(positions)
    return Block(index, shape, activations)


def _forwards(contexts: Contexts, lm_batch: int) -> Iterator[tuple[Contexts, Int[Tensor, " rows"]]]:
    """Contexts of one forward each, all of the same shape, and their non-special positions."""
    for start in range(0, len(contexts), lm_batch):
        batch = contexts[slice(start, start + lm_batch)]
        yield batch, torch.nonzero(~batch.special.flatten())[:, 0]


def harvest(
    language_model: LanguageModel, contexts: Contexts, hooks: Sequence[str], lm_batch: int
) -> dict[str, Float[Tensor, "rows d_in"]]:
    """Activations at all non-special positions, in the order of the text."""
    parts: dict[str, list[Tensor]] = {hook: [] for hook in hooks}
    for batch, positions in _forwards(contexts, lm_batch):
        kept = to_device(positions, language_model.device)
        for hook, activation in language_model.activations(batch.tokens, hooks).items():
            parts[hook].append(activation.flatten(0, 1).index_select(0, kept))
    return {hook: torch.cat(tensors) for hook, tensors in parts.items()}


@dataclass(frozen=True)
class Calibration:
    """A fixed sample of training activations at one hook, and its mean and mean square norm."""

    activations: Float[Tensor, "rows d_in"]
    mean: Float[Tensor, " d_in"]
    mean_square: float  # of the norm, E||x||^2

    def scale(self, kind: str) -> float:
        """The factor s on inputs, without a unit: E||s x||^2 = d_in for sqrt_d_in, otherwise 1."""
        return (self.activations.shape[1] / self.mean_square) ** 0.5 if kind == "sqrt_d_in" else 1.0


def calibrate(activations: Float[Tensor, "rows d_in"]) -> Calibration:
    """Means in float64. The mean square norm is an exact sum: bits of another would follow the number of threads."""
    exact = activations.double()
    mean_square = math.fsum(exact.square().sum(1).tolist()) / len(exact)
    return Calibration(activations, exact.mean(0).float(), mean_square)


def calibration_size(train: TrainConfig, context: int) -> int:
    """Contexts in the calibration set: whole forwards."""
    return -(-train.calibration // ((context - 1) * train.lm_batch)) * train.lm_batch


def training_facts(run: RunConfig, calibration: Calibration) -> dict[str, Any]:
    """Facts about training for a record: widths, scale and units, tokens and epochs."""
    contexts = StreamShape.of(run.train, run.model.context).contexts_read(run.train.steps)
    per_epoch = training_contexts(run.model, run.data, run.seed).contexts_per_epoch
    scale = calibration.scale(run.train.input_scale)
    return {
        "d_in": d_in(run), "d_sae": d_sae(run), "hook_name": run.hook_name,
        "tokens": run.train.steps * run.train.batch, "contexts_read": contexts,
        "epochs": contexts / per_epoch if per_epoch else None, "input_scale": scale,
        "mean_square_norm": calibration.mean_square,
        "sparsity_coefficient_unscaled": run.sparsity_coefficient / scale,
    } | {f"text_{what}": count for what, count in text_facts(run.model, run.data).items()}  # fmt: skip
