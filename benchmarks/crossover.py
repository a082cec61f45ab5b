"""Where the sparse step stops paying: `python -m benchmarks.crossover`, the measurement behind SPARSE_BELOW.

Times one step's gradients over active pairs and over all pairs, in turn, at rising shares of active pairs.
"""

import statistics

import pipeline  # noqa: F401  before torch: it sets what MKL and OpenMP read once

# isort: split
import torch

from benchmarks.machine import seconds
from benchmarks.untrained import trainer
from pipeline.execution import available_cores
from pipeline.sae import pairs

SHAPES = ((256, 256, 1024), (256, 256, 1536), (2048, 512, 8192))
SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)


def main() -> None:
    torch.set_num_threads(available_cores())
    torch.manual_seed(0)
    print("time over active pairs divided by time over all pairs, at each share of active pairs")
    print("                            " + "".join(f"{share:7.0%}" for share in SHARES))
    for batch, d_in, d_sae in SHAPES:
        x = torch.randn(batch, d_in)
        for architecture in ("gated", "baseline"):
            cells = []
            for share in SHARES:
                made = trainer(architecture, x, batch, d_sae, share * d_sae)
                inputs, repeats = x * made.scale, 15 if batch < 1000 else 3
                ratios = []
                for _ in range(repeats):
                    times = []
                    for limit in (1.0, 0.0):  # all sparse, all dense
                        pairs.SPARSE_BELOW["cpu"] = limit
                        times.append(seconds(lambda: made.sae.take_gradients(inputs, 1.0)))  # noqa: B023
                    ratios.append(times[0] / times[1])
                cells.append(f"{statistics.median(ratios):7.2f}")
            print(f"{architecture:8} {batch:5} {d_in:5} {d_sae:6}  " + "".join(cells))


if __name__ == "__main__":
    main()
