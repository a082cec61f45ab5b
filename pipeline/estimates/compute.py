"""What a pack needs, estimated from shapes alone: memory and floating-point operations. Errs on the high side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.activations.blocks import StreamShape, calibration_size
from pipeline.config.model_shape import model_shape, read_model_config
from pipeline.config.schema import ModelConfig, RunConfig
from pipeline.language_model.sites import d_in, d_sae
from pipeline.sae.registry import sae_class
from pipeline.sae.sparse_step.step import MAX_ELEMENTS

PROCESS = {"cpu": 1.0e9, "cuda": 0.8e9}
"""Bytes before any tensor of ours: PyTorch, the language model's libraries and (on a GPU) the CUDA context."""
VOCABULARY = {"gpt2": 50257, "gelu_1l": 48262, "pythia_70m": 50304, "pythia_2_8b": 50304, "gemma_7b": 256000}
LARGE_VOCABULARY = 256000
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


STEP = {"cpu": (1.25, 0.9e-3), "cuda": (15.0, 1e-3)}
"""A training step's time: a multiple of its encoder's product at the matmul rate, plus seconds. On a CPU measured
(docs/measurements.md) with few features active; on a GPU assumed, as if all products were dense."""
MODEL_EFFICIENCY = 0.9
"""Share of the matmul rate that the language model reaches, counting operations as below; measured there too."""


CORE_RATE = 75e9
"""fp32 operations per second of one core, where only a proportion is asked for."""
START = 12.0
"""Seconds of one core until a process has imported everything, loaded a small model and calibrated."""


SPARE = 0.9
"""Fraction of the memory of a machine, or a GPU, that packs may use."""


@dataclass(frozen=True)
class Cost:
    """What one pack needs: bytes of memory, floating-point operations, steps."""

    memory: float
    encoder_flops: float  # of training steps
    read_flops: float  # of the language model's pass over the training text, which packs of one stream share
    evaluation_flops: float  # calibration included
    steps: int
    device: str

    def seconds(self, matmul_rate: float) -> float:
        """Seconds at `matmul_rate` operations per second, without the pass over the training text."""
        return START + self.sae_seconds(matmul_rate) + model_seconds(self.evaluation_flops, matmul_rate)

    def sae_seconds(self, matmul_rate: float) -> float:
        products, overhead = STEP[self.device]
        return products * self.encoder_flops / matmul_rate + overhead * self.steps


def model_seconds(flops: float, matmul_rate: float) -> float:
    """Time of the language model's operations."""
    return flops / (MODEL_EFFICIENCY * matmul_rate)


def encoder_flops(run: RunConfig) -> int:
    """Of the product that a training step cannot do without."""
    return 2 * run.train.batch * d_in(run) * d_sae(run)


def training_dense_flops(run: RunConfig) -> int | None:
    """Of a whole training whose steps leave nothing out; None for an architecture that does not state its products."""
    architecture = sae_class(run.architecture.name)
    if architecture.dense_products is None:
        return None
    with torch.device("meta"):
        products = architecture(run.architecture, d_in(run), d_sae(run)).dense_products
    return None if products is None else products * encoder_flops(run) * run.train.steps


def pack_cost(runs: Sequence[RunConfig], device: str = "cpu") -> Cost:
    """What training and evaluating a pack takes."""
    first = runs[0]
    encoders = sum(encoder_flops(run) * run.train.steps for run in runs)
    shape = StreamShape.of(first.train, first.model.context)
    read = shape.contexts_read(max(run.train.steps for run in runs)) * first.model.context
    calibration = calibration_size(first.train, first.model.context) * first.model.context
    evaluation = 2 * calibration * _parameters_to_sites(runs) + reference_flops(runs) + _spliced_flops(runs)
    read_flops = 2 * read * _parameters_to_sites(runs)
    steps = sum(run.train.steps for run in runs)
    return Cost(memory(runs, device), encoders, read_flops, evaluation, steps, device)


def sweep_seconds(packs: Sequence[Sequence[RunConfig]], device: str, at_once: int, shared: bool, rate: float) -> float:
    """Seconds for all packs, `at_once` in parallel, each at this rate.

    Args:
        shared: whether packs that run in parallel share blocks of activations.
    """
    costs = [pack_cost(runs, device) for runs in packs]
    own = [cost.seconds(rate) for cost in costs]
    read = [model_seconds(cost.read_flops, rate) for cost in costs]
    together = at_once if shared else 1
    longest = max((each + passed / together for each, passed in zip(own, read, strict=True)), default=0.0)
    return max((sum(own) + sum(read) / together) / at_once, longest)


def _spliced_flops(runs: Sequence[RunConfig]) -> float:
    """Of every run's own evaluation: its SAE on the held-out text, and the model from its site on."""
    first = runs[0]
    passes = sum(_parameters_from(run.model, run.layer) + d_in(run) * d_sae(run) for run in runs)
    return 2.0 * first.eval.sequences * first.model.context * passes * (1 + len(first.eval.prune_below))


def reference_flops(runs: Sequence[RunConfig]) -> float:
    """Of what a pack's evaluation does once for all its runs: clean passes, and ablated ones from their sites on."""
    first = runs[0]
    sites = {run.hook_name: run for run in runs}.values()
    ablated = 2 * sum(_parameters_from(run.model, run.layer) for run in sites)
    clean = _parameters_from(first.model, 0) + 2 * _parameters_to_sites(runs)
    return 2.0 * first.eval.sequences * first.model.context * (clean + ablated)


def runs_worth_a_process(runs: Sequence[RunConfig]) -> int:
    """Number of runs at which a one-core process spends as long on training steps as on its start and its references.

    The model's pass over the training text is not counted: processes share it (pipeline/activations/block_cache.py).
    """
    alone = START + model_seconds(max(reference_flops([run]) for run in runs), CORE_RATE)
    return math.ceil(alone / (pack_cost(runs).sae_seconds(CORE_RATE) / len(runs)))


def memory(runs: Sequence[RunConfig], device: str = "cpu") -> float:
    """Bytes at the most: of main memory on a CPU, of the GPU's memory on `cuda`."""
    model = PROCESS[device] + DTYPE_BYTES[runs[0].model.dtype] * _parameters(runs[0].model)
    return model + 4 * (_saes(runs) + _stream(runs) + _evaluation(runs))


def _saes(runs: Sequence[RunConfig]) -> float:
    """Numbers: parameters, moments and, when all are evaluated, the folded SAE; one step's gradients and temporaries.

    Runs take turns, so those of the largest are enough. A step has three tensors as large as its features, and eleven
    more of as many rows as a dense one takes at a time (pipeline/sae/sparse_step/step.py).
    """
    sizes = [2 * d_in(run) * d_sae(run) for run in runs]
    kept = sum((2 + moments(run)) * size for run, size in zip(runs, sizes, strict=True))
    features = [run.train.batch * d_sae(run) for run in runs]
    return kept + 2 * max(sizes) + max(3 * count + 11 * min(count, MAX_ELEMENTS) for count in features)


def moments(run: RunConfig) -> int:
    """Copies of the parameters that Adam keeps; without beta1 the mean is the gradient."""
    return 2 if run.train.beta1 else 1


def _stream(runs: Sequence[RunConfig]) -> float:
    """Numbers: the calibration set, which is kept, plus its float64 sums, or a block."""
    run = runs[0]
    widths = sum({r.hook_name: d_in(r) for r in runs}.values())
    shape = StreamShape.of(run.train, run.model.context)
    kept = calibration_size(run.train, run.model.context) * run.model.context
    return widths * (kept + max(4 * kept, shape.contexts_per_block * run.model.context))


def block_bytes(runs: Sequence[RunConfig]) -> float:
    """A block of these runs' hooks."""
    widths = sum({run.hook_name: d_in(run) for run in runs}.values())
    context = runs[0].model.context
    return 4.0 * widths * StreamShape.of(runs[0].train, context).contexts_per_block * context


def _evaluation(runs: Sequence[RunConfig]) -> float:
    """Numbers: the features of one SAE during encoding, or as they are kept during a pass of the language model.

    Such a pass has the logits of one batch with their copy, or before that an MLP's inside or attention's scores.
    """
    run, shape = runs[0], model_shape(runs[0].model)
    positions = max(run.eval.batch, run.train.lm_batch) * run.model.context
    widest = max(d_sae(r) for r in runs)
    encoding, kept = (3, 2) if run.eval.prune_below else (2, 1)
    inside = max(4 * shape.d_mlp, 3 * shape.n_heads * run.model.context)
    return positions * max(encoding * widest, kept * widest + max(2 * vocabulary(run.model), inside))


def vocabulary(model: ModelConfig) -> int:
    """Size of the vocabulary; a large one is assumed of a hub model that is not among ours."""
    if model.path is not None:
        return int(read_model_config(Path(model.path)).get("vocab_size") or LARGE_VOCABULARY)
    return VOCABULARY.get(model.name, LARGE_VOCABULARY)


def _parameters_from(model: ModelConfig, layer: int) -> int:
    """Parameters that a token passes through from this layer on, the unembedding included."""
    shape = model_shape(model)
    block = 4 * shape.d_model * shape.n_heads * shape.d_head + 3 * shape.d_model * shape.d_mlp
    return (shape.n_layers - layer) * block + vocabulary(model) * shape.d_model


def _parameters_to_sites(runs: Sequence[RunConfig]) -> int:
    """Parameters that a token passes through up to the deepest site."""
    model, deepest = runs[0].model, max(run.layer for run in runs)
    return _parameters_from(model, 0) - _parameters_from(model, deepest + 1)


def _parameters(model: ModelConfig) -> int:
    return _parameters_from(model, 0) + vocabulary(model) * model_shape(model).d_model
