"""`plan=true`: what a command would train, and what that costs in memory, disk and time."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from rich.table import Table

from pipeline.config.schema import Execution, Job, RunConfig
from pipeline.estimates.compute import memory, sweep_seconds
from pipeline.estimates.disk import needed
from pipeline.language_model.sites import d_in, d_sae
from pipeline.launching.executors.base import Executor
from pipeline.records.identity import run_name
from pipeline.runtime.console import console
from pipeline.runtime.device import available_cores, threads_each, use_threads
from pipeline.runtime.durations import clock

WARM_UP, BLOCKS, PRODUCTS = 3, 9, 4
LIKELY = (0.8, 1.4)
"""Range of the actual time, in parts of the estimate. At 105 GFLOP/s per core, the default sweep took 0.9 of it in a
quiet hour and 1.2 in a busy one (docs/measurements.md)."""


def matmul_rate(device: str) -> float:
    """fp32 operations per second of this process's matmuls: the median over several blocks, after a warm-up.

    The maximum would be a rate that a processor holds only for a moment.
    """
    a, b = torch.randn(1024, 512, device=device), torch.randn(512, 2048, device=device)
    took = [_seconds(lambda: [a @ b for _ in range(PRODUCTS)], device) for _ in range(WARM_UP + BLOCKS)]
    return PRODUCTS * 2 * 1024 * 512 * 2048 / statistics.median(took[WARM_UP:])


def _seconds(call: Callable[[], object], device: str) -> float:
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def print_plan(
    jobs: Sequence[Job], packed: Sequence[Sequence[RunConfig]], executor: Executor, notes: Sequence[str]
) -> None:
    """Print the runs by pack, then the totals where this executor trains them, then the notes."""
    device, at_once, local = executor.capacity.device, executor.at_once, executor.on_this_machine
    out = console()
    table = Table(box=None)
    for column in ("pack", "run", "d_in", "d_sae", "steps"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for number, runs in enumerate(packed, 1):
        for run in runs:
            table.add_row(str(number), run_name(run), str(d_in(run)), str(d_sae(run)), f"{run.train.steps:,}")
    out.print(table)
    largest = sorted((memory(runs, device) for runs in packed), reverse=True)[:at_once]
    need = needed(packed, at_once, local)
    there = len({run_name(job.run) for job in jobs}) - sum(map(len, packed))
    out.print(
        f"{sum(map(len, packed))} runs to train in {len(packed)} packs, {at_once} at once "
        f"({there} recorded or failed before); "
        f"memory {sum(largest) / 1e9:.2f} GB, "
        f"disk {need.most / 1e9:.2f} GB while they are trained and {need.kept / 1e9:.2f} GB afterwards, "
        f"{_time(jobs[0].execution, packed, device, at_once, local)}"
    )
    for note in notes:
        out.print(note, markup=False)


def _time(execution: Execution, packed: Sequence[Sequence[RunConfig]], device: str, at_once: int, local: bool) -> str:
    """A range of durations, and its assumptions. Packs that run in parallel share the rate of all their cores."""
    in_parallel = at_once if local and device == "cpu" else 1
    threads = min(available_cores(), in_parallel * threads_each(execution, at_once))
    use_threads(replace(execution, threads=threads))
    rate = matmul_rate(device) / in_parallel
    seconds = sweep_seconds(packed, device, at_once, local and at_once > 1, rate)
    low, high = (clock(factor * seconds) for factor in LIKELY)
    return (
        f"about {low} to {high} from start to evaluation, if each pack has {rate / 1e9:.0f} GFLOP/s in fp32, as "
        f"measured now on this machine with {threads} threads; whatever else runs here makes it longer"
    )
