"""What a training step holds at the most, at the size of the paper's largest SAEs: `python -m benchmarks.step_memory`.

Counted on PyTorch's `meta` device, so it needs neither a GPU nor the memory; on a GPU benchmarks/training_step.py
measures the same. A dense step, with which every training begins, needs more than a sparse one.
"""

import sys

from pipeline.runtime import environment  # noqa: F401  before torch
from pipeline.sae.objective import StepContext

# isort: split
import torch

from benchmarks.bars import add_figures
from benchmarks.live_memory import LiveMemory
from benchmarks.options import Options
from benchmarks.table import Table
from pipeline.config.schema import TrainConfig
from pipeline.sae.registry import config_class, sae_class
from pipeline.sae.sparse_step.step import ElementwiseSAE
from pipeline.training.optimizer import Optimizer

BATCH, D_IN, D_SAE = 4096, 2560, 2**17
FORMATS = {"architecture": "{}", "precision": "{}", "beta1": "{:g}", "gradients": "{:.1f}", "optimizer": "{:.1f}"}


def bytes_a_parameter(architecture: str, precision: str, beta1: float) -> tuple[float, float]:
    """The most that a dense step's gradients, and the optimizer, have: weights and moments included, inputs too."""
    with LiveMemory("meta") as memory, torch.device("meta"):
        sae = sae_class(architecture)(config_class(architecture)(), D_IN, D_SAE)
        assert isinstance(sae, ElementwiseSAE)
        sae.precision = precision
        optimizer = Optimizer(sae, TrainConfig(steps=2, batch=BATCH, beta1=beta1))
        x, most = torch.empty(BATCH, D_IN), (0, 0)
        for _ in range(2):  # the first finds no moments yet
            memory.most = memory.now
            step = sae.take_gradients(x, StepContext(1.0))
            gradients, memory.most = memory.most, memory.now
            optimizer.step(step.gradients, 1e-3)
            most = gradients, memory.most
            del step
    parameters = sum(parameter.numel() for parameter in sae.parameters())
    return most[0] / parameters, most[1] / parameters


def main(options: Options) -> None:
    title = f"bytes a parameter at a dense step's worst moment, {BATCH} x {D_IN} x {D_SAE}, counted"
    table = Table("step_memory", title, FORMATS)
    for architecture in ("gated", "baseline"):
        for precision in ("bfloat16", "float32"):
            for beta1 in (0.0, 0.9):
                gradients, optimizer = bytes_a_parameter(architecture, precision, beta1)
                table.add(
                    architecture=architecture, precision=precision, beta1=beta1, gradients=gradients,
                    optimizer=optimizer,
                )  # fmt: skip
    table.show(options.out)
    worst = max(max(row["gradients"], row["optimizer"]) for row in table.rows if row["beta1"] == 0)
    add_figures(options.out, {"step_memory": worst})


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
