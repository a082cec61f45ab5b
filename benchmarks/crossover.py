"""Where the sparse step stops paying: `python -m benchmarks.crossover [threads=N] [device=cpu]`.

The measurement behind SPARSE_BELOW: a step over active pairs and over all pairs, in turn, at rising shares of active
pairs.
"""

import statistics
import sys

import pipeline  # noqa: F401  before torch: it sets what MKL and OpenMP read once

# isort: split
import torch
from torch import Tensor

from benchmarks.machine import seconds
from benchmarks.options import Options
from benchmarks.peers import LEARNING_RATE
from benchmarks.untrained import trainer
from pipeline.sae import choice
from pipeline.training.trainer import Trainer

SHAPES = {
    "cpu": ((256, 256, 1024), (256, 256, 1536), (2048, 512, 8192)),
    "cuda": ((2048, 512, 8192), (4096, 2560, 2**15), (4096, 2560, 2**17)),
}
SHARES = {
    "cpu": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45),
    "cuda": (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 0.016, 0.03, 0.06),
}


def _step(made: Trainer, x: Tensor) -> None:
    made.optimizer.step(made.sae.take_gradients(x, 1.0).gradients, LEARNING_RATE)


def main(options: Options) -> None:
    torch.manual_seed(0)
    device, kind = options.device, options.device.partition(":")[0]
    print("time over active pairs divided by time over all pairs, at each share of active pairs")
    print("                            " + "".join(f"{share:7.2%}" for share in SHARES[kind]))
    for batch, d_in, d_sae in SHAPES[kind]:
        x = torch.randn(batch, d_in, device=device)
        for architecture in ("gated", "baseline"):
            cells = []
            for share in SHARES[kind]:
                precision = "float32" if device == "cpu" else "bfloat16"
                made = trainer(architecture, x, batch, d_sae, share * d_sae, precision)
                inputs, repeats = x * made.scale, 15 if batch < 1000 else 3
                ratios = []
                for _ in range(repeats):
                    times = []
                    for limit in (1.0, 0.0):  # all sparse, all dense
                        choice.SPARSE_BELOW[kind] = limit
                        times.append(seconds(lambda: _step(made, inputs), options.device))  # noqa: B023
                    ratios.append(times[0] / times[1])
                cells.append(f"{statistics.median(ratios):7.2f}")
            print(f"{architecture:8} {batch:5} {d_in:5} {d_sae:6}  " + "".join(cells))


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
