"""How a step's cost grows with width and with L0: `python -m benchmarks.scaling [quick=true]`."""

import resource
import sys
from collections.abc import Callable

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
import torch

from benchmarks import machine
from benchmarks.options import Options
from benchmarks.table import Spread, Table
from benchmarks.training_step import interleaved, products
from benchmarks.untrained import trainer
from pipeline.activations.blocks import Block, StreamShape
from pipeline.sae.sparse_step.step import ElementwiseSAE

BATCH, D_IN, WIDTH, L0 = 1024, 512, 4096, 80
WIDTHS = (1024, 2048, 4096, 8192, 16384)
L0S = (1, 10, 40, 80, 160, 320, 640, 1000, 2000)


def measure(options: Options, table: Table, varied: str, d_sae: int, l0: float) -> None:
    repeats = options.fewer(15, 2)
    shape = StreamShape(256, 16, BATCH, 16 * -(-(repeats + 1) * BATCH // (255 * 16)))
    x = torch.randn(shape.contexts_per_block * 255, D_IN, device=options.device)
    block = Block(0, shape, {"hook": x})
    made = trainer("gated", x, BATCH, d_sae, l0)
    assert isinstance(made.sae, ElementwiseSAE)
    rate = machine.MatmulRate(options.device)
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "step": (lambda: made._train_step(block), 1),
        "rate": (rate, 1),
    }
    calls |= {name: (call, 1) for name, call in products(x[:BATCH] * made.scale, made.sae).items()}
    times = {name: Spread.of(taken) for name, taken in interleaved(calls, repeats, options.device).items()}
    step, floor = times["step"], min(s.median for name, s in times.items() if name.startswith("product"))
    table.add(
        varied=varied, d_sae=d_sae, l0=l0, ms=1e3 * step.median, ms_low=1e3 * step.low, ms_high=1e3 * step.high,
        over_product=step.median / floor, sparse=made.sparse_steps / made.step, sae_tokens_per_s=BATCH / step.median,
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        gflops=2e-9 * rate.a.numel() * rate.b.shape[1] / times["rate"].median,
    )  # fmt: skip


def main(options: Options) -> None:
    torch.manual_seed(0)
    print(f"scaling on {machine.words(options.device)}", flush=True)
    formats = {"varied": "{}", "d_sae": "{}", "l0": "{}", "ms": "{:.1f}", "ms_low": "{:.1f}", "ms_high": "{:.1f}",
               "over_product": "{:.2f}", "sparse": "{:.0%}", "sae_tokens_per_s": "{:.0f}", "peak_gb": "{:.2f}",
               "gflops": "{:.0f}"}  # fmt: skip
    title = f"a gated step, batch {BATCH}, d_in {D_IN}; peak memory is the process's so far"
    table = Table("scaling", title, formats)
    for d_sae in WIDTHS[::2] if options.quick else WIDTHS:
        measure(options, table, "width", d_sae, L0)
    for l0 in L0S[::3] if options.quick else L0S:
        measure(options, table, "L0", WIDTH, l0)
    table.show(options.out)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
