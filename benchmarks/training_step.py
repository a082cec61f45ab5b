"""Time one training step of each arm at the default sweep's shape: `python -m benchmarks.training_step [threads]`.

Prints the median of 100 steps and, taken in turn with them, the fp32 matmul rate of the same threads.
"""

import statistics
import sys
import time
from collections.abc import Callable

import pipeline  # noqa: F401  before torch: it sets what MKL and OpenMP read once

# isort: split
import torch

from pipeline.activations import Block, StreamShape, calibrate
from pipeline.config import DataConfig, EvalConfig, ModelConfig, RunConfig, SiteConfig, TrainConfig
from pipeline.execution import available_cores
from pipeline.sae.registry import config_class
from pipeline.training.trainer import Trainer

D_IN, BATCH, STEPS = 256, 256, 100


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def trainer(architecture: str, expansion: float, x: torch.Tensor) -> Trainer:
    run = RunConfig(
        model=ModelConfig(name="none", context=256, layer=0), site=SiteConfig("site", "hook"),
        architecture=config_class(architecture)(expansion=expansion), data=DataConfig("none", "bundled"),
        train=TrainConfig(steps=10_000, batch=BATCH, lr=1e-3), eval=EvalConfig(), layer=0, sparsity_coefficient=4.0,
        seed=0,
    )  # fmt: skip
    return Trainer(run, calibrate(x), round(expansion * D_IN), history_every=50)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else available_cores())
    torch.manual_seed(0)
    shape = StreamShape(256, 16, BATCH, 256)
    x = torch.randn(shape.contexts_per_block * 255, D_IN)
    block = Block(0, shape, {"hook": x}, torch.randperm(len(x)))
    a, b = torch.randn(1024, 512), torch.randn(512, 2048)
    for architecture, expansion in (("gated", 4.0), ("baseline", 6.0)):
        trained = trainer(architecture, expansion, x)
        steps, products = [], []
        for _ in range(STEPS):
            steps.append(seconds(lambda t=trained: t._train_step(block)))  # type: ignore[misc]
            products.append(seconds(lambda: a @ b))
        rate = 2 * 1024 * 512 * 2048 / statistics.median(products)
        print(
            f"{architecture} x{expansion:g}: {statistics.median(steps) * 1e3:.2f} ms a step (median of {STEPS}), "
            f"{torch.get_num_threads()} threads, matmul at {rate / 1e9:.0f} GFLOP/s fp32"
        )


if __name__ == "__main__":
    main()
