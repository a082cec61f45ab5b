"""One seed's SAEs trained in three ways that differ by rounding alone, and what held-out text says of each.

`dense` computes all entries of the codes, `sparse` only the active ones. `reordered` is sparse, with the rows of each
batch in the opposite order: every sum over a batch is the same sum, rounded otherwise. So it is harmless by
construction, and shows how far rounding alone carries a training.
"""

import copy
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline.activations.blocks import (
    Block,
    Calibration,
    StreamShape,
    calibrate,
    calibration_size,
    harvest,
    read_block,
)
from pipeline.config.schema import RunConfig
from pipeline.evaluation.evaluate import Candidate, evaluate
from pipeline.evaluation.references import References, references
from pipeline.language_model.loading import load_language_model
from pipeline.language_model.model import LanguageModel
from pipeline.language_model.sites import d_sae
from pipeline.sae.base import SAE
from pipeline.sae.sparse_step.selection import NEVER, sparse_below
from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import calibration_contexts, evaluation_contexts, training_contexts
from pipeline.training.trainer import Trainer

SPARSE, REORDERED, DENSE = WAYS = ("sparse", "reordered", "dense")
HISTORY_EVERY = 50


@dataclass(frozen=True)
class Setting:
    """What all seeds and architectures of a site share."""

    hook: str
    language_model: LanguageModel
    calibration: Calibration
    held_out: Contexts
    batch: int  # of contexts, in evaluation
    references: References

    @classmethod
    def of(cls, run: RunConfig) -> "Setting":
        held_out = evaluation_contexts(run.model, run.data, run.eval.sequences)
        language_model = load_language_model(run.model, torch.device("cpu"))
        contexts = calibration_contexts(run.model, run.data, calibration_size(run.train, run.model.context))
        activations = harvest(language_model, contexts, [run.hook_name], run.train.lm_batch)
        calibration = calibrate(activations[run.hook_name])
        means = {run.hook_name: calibration.mean}
        with tempfile.TemporaryDirectory() as folder:  # where another program would find them again
            found = references(language_model, held_out, run.eval.batch, means, "whole training", Path(folder))
        return cls(run.hook_name, language_model, calibration, held_out, run.eval.batch, found)


def train(setting: Setting, runs: Sequence[RunConfig]) -> dict[tuple[str, str], Trainer]:
    """Train one seed's runs, which share a stream and a site, in each way: by way and architecture."""
    trainers = {(way, run.architecture.name): trainer_of(setting, run) for way in WAYS for run in runs}
    for block in blocks_of(setting, runs[0]):
        blocks = {SPARSE: block, REORDERED: reordered(block), DENSE: block}
        for (way, _), trainer in trainers.items():
            with steps_of(way):
                trainer.train_on(blocks[way], threading.Event())
    return trainers


def trainer_of(setting: Setting, run: RunConfig) -> Trainer:
    return Trainer(run, setting.calibration, d_sae(run), HISTORY_EVERY)


def blocks_of(setting: Setting, run: RunConfig) -> Iterator[Block]:
    """The activations that a run trains on."""
    shape = StreamShape.of(run.train, run.model.context)
    source = training_contexts(run.model, run.data, run.seed)
    for index in range(1 + shape.block_of(run.train.steps - 1)):
        yield read_block(setting.language_model, source, shape, [run.hook_name], index, run.seed)


def reordered(block: Block) -> Block:
    """The same batches, each with its rows in the opposite order."""
    batch = block.shape.batch
    turned = {hook: x.view(-1, batch, x.shape[1]).flip(1).view(x.shape) for hook, x in block.activations.items()}
    return replace(block, activations=turned)


def steps_of(way: str) -> AbstractContextManager[None]:
    """Steps that are all dense, or as the table of shares says."""
    return sparse_below(NEVER) if way == DENSE else nullcontext()


def held_out_sums(
    setting: Setting, trainers: Mapping[tuple[str, str], Trainer]
) -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    """Sums over each context of the held-out text, as `EvaluationSums` has them; all SAEs in one pass."""
    candidates = {" ".join(key): Candidate(setting.hook, folded(trainer)) for key, trainer in trainers.items()}
    sums = evaluate(setting.language_model, setting.held_out, setting.batch, candidates, threading.Event())
    return {key: sums[" ".join(key)][0] for key in trainers}


def folded(trainer: Trainer) -> SAE:
    """As it is recorded: for unscaled inputs, features of unit norm."""
    sae = copy.deepcopy(trainer.sae)
    sae.fold_input_scale(trainer.scale)
    sae.fold_decoder_norm()
    return sae.requires_grad_(False)
