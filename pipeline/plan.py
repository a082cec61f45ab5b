"""`plan=true`: what a command would train, and what that costs in memory, disk and time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from rich.table import Table

from pipeline.clock import clock
from pipeline.config import Job, RunConfig
from pipeline.console import console
from pipeline.cost import pack_cost
from pipeline.disk import needed
from pipeline.execution import threads_each, use_threads
from pipeline.identity import run_name
from pipeline.sites import d_in, d_sae


def matmul_rate(device: str) -> float:
    """fp32 operations a second of this process's matmuls, the best of a few tries."""
    a, b = torch.randn(1024, 512, device=device), torch.randn(512, 2048, device=device)
    best = min(_seconds(lambda: a @ b, device) for _ in range(8))
    return 2 * 1024 * 512 * 2048 / best


def _seconds(call: Callable[[], object], device: str) -> float:
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def print_plan(
    jobs: Sequence[Job], packed: Sequence[Sequence[RunConfig]], device: str, at_once: int, local: bool
) -> None:
    """Runs by pack, then the totals, with so many packs trained at once, on this machine if `local`."""
    use_threads(replace(jobs[0].execution, threads=threads_each(jobs[0].execution, at_once)))
    rate, out = matmul_rate(device), console()
    table = Table(box=None)
    for column in ("pack", "run", "d_in", "d_sae", "steps"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for number, runs in enumerate(packed, 1):
        for run in runs:
            table.add_row(str(number), run_name(run), str(d_in(run)), str(d_sae(run)), f"{run.train.steps:,}")
    out.print(table)
    costs = [pack_cost(runs, device) for runs in packed]
    seconds = [cost.seconds(rate) for cost in costs]
    total = max(sum(seconds) / at_once, max(seconds, default=0))
    largest = sorted((cost.memory for cost in costs), reverse=True)[:at_once]
    need = needed(packed, at_once, local)
    there = len({run_name(job.run) for job in jobs}) - sum(map(len, packed))
    out.print(
        f"{sum(map(len, packed))} runs to train in {len(packed)} packs, {at_once} at once "
        f"({there} recorded or failed before); "
        f"memory {sum(largest) / 1e9:.2f} GB, "
        f"disk {need.most / 1e9:.2f} GB while they are trained and {need.kept / 1e9:.2f} GB afterwards, "
        f"about {clock(total)} at {rate / 1e9:.0f} GFLOP/s fp32 for each pack on this machine"
    )
