"""What a pack needs, estimated from shapes alone: memory and floating-point operations. Errs on the high side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.activations import StreamShape, calibration_size
from pipeline.config import ModelConfig, RunConfig
from pipeline.sites import d_in, d_sae, model_shape, read_model_config

PROCESS = {"cpu": 1.0e9, "cuda": 0.8e9}
"""Bytes before any tensor of ours: PyTorch, the language model's libraries and (on a GPU) the CUDA context."""
VOCABULARY = {"gpt2": 50257, "gelu_1l": 48262, "pythia_70m": 50304, "pythia_2_8b": 50304, "gemma_7b": 256000}
LARGE_VOCABULARY = 256000
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Cost:
    """What one pack needs: bytes of memory, floating-point operations of SAEs and of the language model."""

    memory: float
    sae_flops: float
    model_flops: float


def pack_cost(runs: Sequence[RunConfig], device: str = "cpu") -> Cost:
    """A dense step has at most 8 products of batch x d_in x d_sae."""
    run = runs[0]
    shape = StreamShape.of(run.train, run.model.context)
    hooks = {r.hook_name for r in runs}
    sizes = [2 * d_in(r) * d_sae(r) for r in runs]
    sae_flops = sum(8 * r.train.batch * size * r.train.steps for r, size in zip(runs, sizes, strict=True))
    read = shape.contexts_read(max(r.train.steps for r in runs)) * run.model.context
    evaluated = run.eval.sequences * run.model.context * (2 + 2 * len(hooks) + len(runs))
    model_flops = 2 * _block_parameters(run.model) * (read + evaluated)
    return Cost(memory(runs, device), sae_flops, model_flops)


def memory(runs: Sequence[RunConfig], device: str = "cpu") -> float:
    """Bytes at the most: of main memory on a CPU, of the GPU's memory on `cuda`."""
    model = PROCESS[device] + DTYPE_BYTES[runs[0].model.dtype] * _parameters(runs[0].model)
    return model + 4 * (_saes(runs) + _stream(runs) + _evaluation(runs))


def _saes(runs: Sequence[RunConfig]) -> float:
    """Numbers: parameters, gradients, two moments and, when all are evaluated, the folded SAE; one step's temporaries.

    Runs take turns, so the temporaries of the largest are enough: a further copy, and six times its activations.
    """
    sizes = [2 * d_in(run) * d_sae(run) for run in runs]
    return 5 * sum(sizes) + max(sizes) + max(6 * run.train.batch * d_sae(run) for run in runs)


def _stream(runs: Sequence[RunConfig]) -> float:
    """Numbers: the calibration set, kept, and a block, twice while it is put together from its forwards."""
    run = runs[0]
    widths = sum({r.hook_name: d_in(r) for r in runs}.values())
    shape = StreamShape.of(run.train, run.model.context)
    kept = calibration_size(run.train, run.model.context) * run.model.context
    block = shape.contexts_per_block * run.model.context
    return widths * (kept + 2 * max(block, kept))


def _evaluation(runs: Sequence[RunConfig]) -> float:
    """Numbers: logits of one batch with their copy, the features of one SAE, and an MLP's inside."""
    run = runs[0]
    positions = max(run.eval.batch, run.train.lm_batch) * run.model.context
    features = 2 * max(d_sae(r) for r in runs)
    return positions * (2 * vocabulary(run.model) + features + 4 * model_shape(run.model).d_mlp)


def vocabulary(model: ModelConfig) -> int:
    """Size of the vocabulary; a large one is assumed of a hub model that is not among ours."""
    if model.path is not None:
        return int(read_model_config(Path(model.path)).get("vocab_size") or LARGE_VOCABULARY)
    return VOCABULARY.get(model.name, LARGE_VOCABULARY)


def _block_parameters(model: ModelConfig) -> int:
    shape = model_shape(model)
    block = 4 * shape.d_model * shape.n_heads * shape.d_head + 3 * shape.d_model * shape.d_mlp
    return shape.n_layers * block


def _parameters(model: ModelConfig) -> int:
    return _block_parameters(model) + 2 * vocabulary(model) * model_shape(model).d_model
