"""Where the sparse step stops paying: `python -m benchmarks.crossover [threads=N] [device=cpu]`.

The measurement behind SPARSE_BELOW: a step over active entries and over all, in turn, at rising shares of active
entries.
"""

import statistics
import sys

from pipeline.runtime import environment  # noqa: F401  before torch
from pipeline.sae.objective import StepContext

# isort: split
import torch
from torch import Tensor

from benchmarks.machine import seconds
from benchmarks.options import Options
from benchmarks.peers import LEARNING_RATE
from benchmarks.untrained import trainer
from pipeline.sae.sparse_step.selection import ALWAYS, NEVER, sparse_below
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
    made.optimizer.step(made.sae.take_gradients(x, StepContext(1.0)).gradients, LEARNING_RATE)


def ratios(architecture: str, x: Tensor, d_sae: int, share: float, precision: str, device: str) -> list[float]:
    """Seconds of an all sparse step over those of an all dense one, in turn."""
    made = trainer(architecture, x, len(x), d_sae, share * d_sae, precision)
    inputs = x * made.scale
    found = []
    for _ in range(15 if len(x) < 1000 else 3):
        times = []
        for share_below in (ALWAYS, NEVER):
            with sparse_below(share_below):
                times.append(seconds(lambda: _step(made, inputs), device))
        found.append(times[0] / times[1])
    return found


def main(options: Options) -> None:
    torch.manual_seed(0)
    kind = options.device.partition(":")[0]
    print("time over active entries divided by time over all, at each share of active entries")
    print("                                     " + "".join(f"{share:7.2%}" for share in SHARES[kind]))
    for precision in ("float32",) if kind == "cpu" else ("float32", "bfloat16"):
        for batch, d_in, d_sae in SHAPES[kind]:
            x = torch.randn(batch, d_in, device=options.device)
            for architecture in ("gated", "baseline"):
                found = [ratios(architecture, x, d_sae, share, precision, options.device) for share in SHARES[kind]]
                cells = "".join(f"{statistics.median(each):7.2f}" for each in found)
                print(f"{architecture:8} {precision:8} {batch:5} {d_in:5} {d_sae:6}  {cells}", flush=True)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
