"""Whole training steps in turn: ours, the encoder's matrix product, and the peers' where they are installed.

`python -m benchmarks.training_step [quick=true] [threads=N] [device=cpu] [out=FOLDER]`, in any environment with torch.

A step is gradients, optimizer, projection and counters of dead features. Its encoder's product is the floor: it must
look at every feature. Everyone has the same parameters and inputs, so the same L0.
"""

import statistics
import sys
from collections.abc import Callable
from typing import NamedTuple

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
import torch
from torch import Tensor

from benchmarks import gradients, machine, peers
from benchmarks.bars import add_figures
from benchmarks.options import Options
from benchmarks.table import Spread, Table
from benchmarks.untrained import LAMBDA, trainer
from pipeline.activations.blocks import Block, StreamShape
from pipeline.sae.sparse_step.selection import NEVER, sparse_below
from pipeline.sae.sparse_step.step import ElementwiseSAE

OURS = "ours"


class Case(NamedTuple):
    """One SAE, and how often each is timed; the peers' steps are some times slower and are timed less often.

    Small steps are timed as the default sweep takes them: on one core, since it has a process for each, and many in a
    row; what is timed beside them too.
    """

    architecture: str
    batch: int
    d_in: int
    d_sae: int
    l0: int
    repeats: int
    peer_every: int
    in_a_row: int
    threads: int | None  # all where None
    figure: str | None = None  # the bar that its ratio is held to
    precision: str = "float32"  # of matrix products, everyone's


LARGE = [
    Case(a, 2048, 512, 8192, l0, 15, 3, 1, None, "step_large" if (a, l0) == ("gated", 82) else None)
    for a in ("gated", "baseline") for l0 in (20, 82, 300)
]  # fmt: skip
DEFAULT = [
    Case(a, 256, 256, width, l0, 30, 5, 20, 1, "step_default" if (a, l0) == ("gated", 30) else None)
    for a, width in (("gated", 1024), ("baseline", 1536)) for l0 in (5, 30, 100)
]  # fmt: skip
GPU = [
    Case(a, 4096, 2560, 2**17, l0, 15, 3, 1, None, None, "bfloat16") for a in ("gated", "baseline") for l0 in (20, 82)
]


def interleaved(
    calls: dict[str, tuple[Callable[[], object], int]], repeats: int, device: str
) -> dict[str, list[float]]:
    """Seconds of each call, in turn; each is called every so many rounds, and once before."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call, _ in calls.values():
        call()
    for round_ in range(repeats):
        for name, (call, every) in calls.items():
            if round_ % every == 0:
                times[name].append(machine.seconds(call, device))
    return times


def products(x: Tensor, sae: ElementwiseSAE, precision: str = "float32") -> dict[str, Callable[[], object]]:
    """The encoder's product in torch's ways: what counts as the floor is the fastest."""
    if precision == "bfloat16":
        x, by_feature = x.bfloat16(), sae.W_enc.detach().bfloat16()
        return {"product": lambda: x @ by_feature}
    by_feature, by_input = sae.W_enc.detach(), sae.W_enc.detach().contiguous()
    out = x @ by_input
    return {
        "product, W by feature": lambda: x @ by_feature,
        "product, W by input": lambda: x @ by_input,
        "product into memory, W by feature": lambda: torch.mm(x, by_feature, out=out),
        "product into memory, W by input": lambda: torch.mm(x, by_input, out=out),
    }


def in_a_row(call: Callable[[], object], times: int) -> Callable[[], object]:
    def repeated() -> None:
        for _ in range(times):
            call()

    return repeated


def peak_bytes(step: Callable[[], object], sae: ElementwiseSAE, inputs: Tensor) -> float:
    """A GPU's memory at the worst moment of two dense steps, for each of the SAE's parameters; without the inputs."""
    torch.cuda.reset_peak_memory_stats()
    with sparse_below(NEVER):
        step()
        step()
    most = torch.cuda.max_memory_allocated() - inputs.untyped_storage().nbytes()
    return most / sum(p.numel() for p in sae.parameters())


def measure(case: Case, table: Table, options: Options) -> float:
    """Time everyone at one shape; returns our step divided by the floor."""
    batch, repeats = case.batch, options.fewer(case.repeats, 3)
    torch.set_num_threads(min(case.threads or options.threads, options.threads))
    contexts = 16 * -(-((repeats + 1) * case.in_a_row + 2) * batch // (255 * 16))  # two for the peak of memory
    shape = StreamShape(256, 16, batch, contexts)
    x = torch.randn(contexts * 255, case.d_in, device=options.device)
    block = Block(0, shape, {"hook": x})
    trained = trainer(case.architecture, x, batch, case.d_sae, case.l0, case.precision)
    sae, inputs, rate = trained.sae, x[:batch] * trained.scale, machine.MatmulRate(options.device)
    assert isinstance(sae, ElementwiseSAE)
    calls: dict[str, tuple[Callable[[], object], int]] = {OURS: (lambda: trained._train_step(block), 1)}
    peak = peak_bytes(calls[OURS][0], sae, x) if options.device.startswith("cuda") else None
    calls |= {name: (call, 1) for name, call in products(inputs, sae, case.precision).items()}
    for name in peers.installed():
        theirs = peers.peer(name, sae, LAMBDA, batch, case.precision)
        calls[name] = (lambda theirs=theirs: theirs.step(inputs), case.peer_every)
    calls = {name: (in_a_row(call, case.in_a_row), every) for name, (call, every) in calls.items()}
    calls["matmul rate"] = (rate, 1)
    times = interleaved(calls, repeats, options.device)
    gflops = 2e-9 * rate.a.numel() * rate.b.shape[1] / statistics.median(times.pop("matmul rate"))
    floor = min((n for n in times if n.startswith("product")), key=lambda n: statistics.median(times[n]))
    described = case._asdict()
    common = {key: described[key] for key in ("architecture", "batch", "d_in", "d_sae", "l0")}
    common["threads"] = torch.get_num_threads()
    for name, (_, every) in calls.items():
        if name in times and (name == floor or not name.startswith("product")):
            ratios = [took / base for took, base in zip(times[name], times[floor][::every], strict=True)]
            took, ratio = Spread.of([1e3 * t / case.in_a_row for t in times[name]]), Spread.of(ratios)
            against = Spread.of([theirs / ours for theirs, ours in zip(times[name], times[OURS][::every], strict=True)])
            table.add(
                **common, what=name, ms=took.median, ms_low=took.low, ms_high=took.high, times=took.count,
                over_product=ratio.median, over_low=ratio.low, over_high=ratio.high,
                over_ours=None if name in (OURS, floor) else against.median,
                sparse=trained.sparse_steps / trained.step if name == OURS else None, gflops=gflops,
                bytes=peak if name == OURS else None,
            )  # fmt: skip
    return Spread.of([ours / base for ours, base in zip(times[OURS], times[floor], strict=True)]).median


FORMATS = {
    "architecture": "{}", "batch": "{}", "d_in": "{}", "d_sae": "{}", "l0": "{}", "threads": "{}", "what": "{}",
    "ms": "{:.2f}", "ms_low": "{:.2f}", "ms_high": "{:.2f}", "times": "{}", "over_product": "{:.2f}",
    "over_low": "{:.2f}", "over_high": "{:.2f}", "over_ours": "{:.1f}", "sparse": "{:.0%}", "gflops": "{:.0f}",
    "bytes": "{:.1f}",
}  # fmt: skip


def main(options: Options) -> None:
    torch.manual_seed(0)
    print(f"training steps on {machine.words(options.device)}; peers: {peers.versions() or 'none'}", flush=True)
    figures = gradients.check(options)
    title = (
        "one training step, median and quartiles, interleaved; over product: divided by the encoder's fastest product"
    )
    table = Table("training_step", title, FORMATS)
    large = [LARGE[1], LARGE[4]] if options.quick else LARGE
    for case in [*DEFAULT, *large] if options.device == "cpu" else GPU:
        ratio = measure(case, table, options)
        if case.figure:
            figures[case.figure] = ratio
    table.show(options.out)
    add_figures(options.out, figures)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
