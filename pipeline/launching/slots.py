"""How many packs this machine trains in parallel, and what each may take of it."""

import os
from collections.abc import Sequence

from pipeline.config.launcher import LocalOptions
from pipeline.config.schema import Execution, RunConfig
from pipeline.estimates.compute import SPARE, encoder_flops, memory, runs_worth_a_process
from pipeline.launching.packing import MAX_RUNS, Capacity, machine_memory
from pipeline.runtime.device import available_cores, choose_device

SMALL_STEP = 1e9
"""FLOPs of an encoder's product up to which one process per core is assumed to be faster than threads. Measured only at
1.3e8 (docs/measurements.md)."""


def gpus(execution: Execution) -> list[str]:
    """Names of the GPUs that CUDA_VISIBLE_DEVICES allows; none where `execution.device` names a single device."""
    if execution.device not in {"auto", "cuda"} or choose_device(execution).type != "cuda":
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return [name.strip() for name in names][: torch.cuda.device_count()]


def slots_for(runs: Sequence[RunConfig], execution: Execution) -> int:
    """Number of packs in parallel where the user gives none: one per GPU, or on a CPU as many as use its cores best.

    In small steps threads wait for one another: one process per core gets more out of the same cores.
    """
    if choose_device(execution).type != "cpu":
        return max(1, len(gpus(execution)))
    if not runs or max(encoder_flops(run) for run in runs) > SMALL_STEP:
        return 1
    worth_it = max(len(runs) // runs_worth_a_process(runs), -(-len(runs) // MAX_RUNS))  # at least the number of packs
    count = max(1, min(available_cores() // (execution.threads or 1), worth_it))
    heaviest = sorted(runs, key=lambda run: memory([run]), reverse=True)
    while count > 1 and count * memory(heaviest[: -(-len(runs) // count)]) > SPARE * machine_memory():
        count -= 1
    return count


def capacity(options: LocalOptions, execution: Execution, slots: int) -> Capacity:
    """What one pack may take here."""
    device = choose_device(execution).type
    if options.memory_gb is not None:
        return Capacity(options.memory_gb * 1e9, device, options.runs_per_pack)
    if device == "cuda":
        import torch

        total = torch.cuda.get_device_properties(choose_device(execution)).total_memory
        return Capacity(SPARE * total / -(-slots // max(1, len(gpus(execution)))), device, options.runs_per_pack)
    return Capacity(SPARE * machine_memory() / slots, device, options.runs_per_pack)
