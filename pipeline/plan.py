"""`plan=true`: what a command would train, and what that costs in memory, disk and time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table

from pipeline.activations import StreamShape, calibration_size
from pipeline.config import Job, RunConfig
from pipeline.console import console
from pipeline.execution import use_threads
from pipeline.identity import run_name
from pipeline.progress import clock
from pipeline.sites import d_in, d_sae, model_shape

STEP_EFFICIENCY = 0.55
"""Share of the fp32 matmul rate that a training step reaches; measured, see docs/measurements.md."""


@dataclass(frozen=True)
class Cost:
    """What one pack needs: bytes of memory and disk, floating-point operations of SAEs and of the language model."""

    memory: float
    disk: float
    sae_flops: float
    model_flops: float


def pack_cost(runs: Sequence[RunConfig]) -> Cost:
    """An estimate from shapes alone. A dense step has at most 8 products of batch x d_in x d_sae."""
    run = runs[0]
    shape = StreamShape.of(run.train, run.model.context)
    widths = {r.hook_name: d_in(r) for r in runs}
    calibration = calibration_size(run.train, run.model.context)
    rows = (shape.contexts_per_block + calibration) * (run.model.context - 1)
    sizes = [2 * d_in(r) * d_sae(r) for r in runs]
    sae_flops = sum(8 * r.train.batch * size * r.train.steps for r, size in zip(runs, sizes, strict=True))
    parameters = _model_parameters(run)
    read = shape.contexts_read(max(r.train.steps for r in runs)) * run.model.context
    evaluated = run.eval.sequences * run.model.context * (2 + 2 * len(widths) + len(runs))
    memory = 4 * (rows * sum(widths.values()) + sum(5 * size for size in sizes) + parameters)
    return Cost(memory, 4 * sum(4 * size for size in sizes), sae_flops, 2 * parameters * (read + evaluated))


def _model_parameters(run: RunConfig) -> int:
    shape = model_shape(run.model)
    block = 4 * shape.d_model * shape.n_heads * shape.d_head + 2 * shape.d_model * shape.d_mlp
    return shape.n_layers * block


def matmul_rate() -> float:
    """fp32 operations a second of this process's matmuls, the best of a few tries."""
    a, b = torch.randn(1024, 512), torch.randn(512, 2048)
    best = min(_seconds(lambda: a @ b) for _ in range(8))
    return 2 * 1024 * 512 * 2048 / best


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def print_plan(jobs: Sequence[Job], packed: Sequence[Sequence[RunConfig]]) -> None:
    """Runs by pack, then the totals."""
    use_threads(jobs[0].execution)
    rate, out = matmul_rate(), console()
    table = Table(box=None)
    for column in ("pack", "run", "d_in", "d_sae", "steps"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for number, runs in enumerate(packed, 1):
        for run in runs:
            table.add_row(str(number), run_name(run), str(d_in(run)), str(d_sae(run)), f"{run.train.steps:,}")
    out.print(table)
    costs = [pack_cost(runs) for runs in packed]
    seconds = sum(c.sae_flops + c.model_flops for c in costs) / (STEP_EFFICIENCY * rate)
    there = len({run_name(job.run) for job in jobs}) - sum(map(len, packed))
    out.print(
        f"{sum(map(len, packed))} runs to train in {len(packed)} packs ({there} recorded or failed before); "
        f"memory {max((c.memory for c in costs), default=0) / 1e9:.2f} GB, "
        f"disk {sum(c.disk for c in costs) / 1e9:.2f} GB, "
        f"about {clock(seconds)} at {rate / 1e9:.0f} GFLOP/s fp32 on this machine"
    )
