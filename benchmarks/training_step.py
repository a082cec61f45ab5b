"""Time a whole training step against its encoder's matrix product, at several L0: `python -m benchmarks.training_step`.

A step is gradients, optimizer, projection and counters of dead features. Its encoder's product is the floor: it must
look at every feature. The two are timed in turn, with the fp32 matmul rate of the same threads; medians are printed.
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
from pipeline.sae.elementwise import ElementwiseSAE
from pipeline.sae.registry import config_class
from pipeline.training.trainer import Trainer

SHAPES = (  # batch, d_in, d_sae by architecture, L0s, steps timed
    (256, 256, {"gated": 1024, "baseline": 1536}, (5, 30, 100), 100),
    (2048, 512, {"gated": 8192, "baseline": 8192}, (20, 82, 300), 15),
)


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def trainer(architecture: str, x: torch.Tensor, batch: int, d_sae: int, l0: float) -> Trainer:
    """At a learning rate so low that L0 stays where the gate's bias is set here."""
    run = RunConfig(
        model=ModelConfig(name="none", context=256, layer=0), site=SiteConfig("site", "hook"),
        architecture=config_class(architecture)(expansion=d_sae / x.shape[1]), data=DataConfig("none", "bundled"),
        train=TrainConfig(steps=10_000, batch=batch, lr=1e-12), eval=EvalConfig(), layer=0, sparsity_coefficient=4.0,
        seed=0,
    )  # fmt: skip
    made = Trainer(run, calibrate(x), d_sae, history_every=50)
    sae = made.sae
    assert isinstance(sae, ElementwiseSAE)
    with torch.no_grad():
        product = sae.products(x[:batch] * made.scale)
        for name in set(sae.feature_parameters) - {"r_mag"}:
            getattr(sae, name).fill_(-product.flatten().kthvalue(round(batch * (d_sae - l0))).values)
    return made


def measure(batch: int, d_in: int, d_sae: int, architecture: str, l0: float, steps: int) -> None:
    shape = StreamShape(256, 16, batch, 16 * -(-steps * batch // (255 * 16)))
    x = torch.randn(shape.contexts_per_block * 255, d_in)
    block = Block(0, shape, {"hook": x}, torch.randperm(len(x)))
    trained = trainer(architecture, x, batch, d_sae, l0)
    inputs, a, b = x[:batch].clone(), torch.randn(1024, 512), torch.randn(512, 2048)
    times = []
    for _ in range(min(steps, shape.steps_per_block)):
        step = seconds(lambda: trained._train_step(block))
        times.append((step, seconds(lambda: inputs @ trained.sae.W_enc.detach()), seconds(lambda: a @ b)))
    step, product, matmul = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(row[0] / row[1] for row in times)
    print(
        f"{architecture:8} {batch:5} {d_in:5} {d_sae:6} {l0:5} {step * 1e3:8.2f} {product * 1e3:8.2f} {ratio:6.2f} "
        f"{trained.sparse_steps / trained.step:7.0%} {2e-9 * a.numel() * b.shape[1] / matmul:8.0f}"
    )


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else available_cores())
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads; ms, and GFLOP/s of a 1024 x 512 x 2048 product in fp32")
    print("           batch  d_in  d_sae    L0     step  encoder  ratio  sparse  GFLOP/s")
    for batch, d_in, widths, l0s, steps in SHAPES:
        for architecture, d_sae in widths.items():
            for l0 in l0s:
                measure(batch, d_in, d_sae, architecture, l0, steps)


if __name__ == "__main__":
    main()
