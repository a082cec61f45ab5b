"""Where a pack computes: its device and its cores."""

import os
import platform
import resource
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from pipeline.config.schema import Execution
from pipeline.errors import UserError
from pipeline.runtime.c_compiler import MISSING, c_compiler


def choose_device(execution: Execution) -> torch.device:
    if execution.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(execution.device)
    except RuntimeError as error:
        message = f"execution.device={execution.device} is unknown: expected auto, cpu, cuda or cuda:1"
        raise UserError(message) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"execution.device={execution.device}, but PyTorch sees no GPU here: expected auto or cpu")
    return device


def use_device(execution: Execution) -> torch.device:
    """The device, set as this process's current one: Triton starts its loops there.

    Raises:
        UserError: there is none, or Triton cannot use it, which the first sparse step would find out.
    """
    device = choose_device(execution)
    if device.type == "cuda":
        # float32 is float32, in containers that say otherwise too; and sums of bfloat16 products are
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        if device.index is not None:
            torch.cuda.set_device(device)
        if find_spec("triton"):
            _try_triton()
    return device


def _try_triton() -> None:
    if not c_compiler():
        raise UserError(f"this machine has a GPU, but {MISSING}")
    from triton.runtime import driver

    try:
        driver.active.get_current_target()
    except Exception as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "it compiles a part of itself with a C compiler and Python's headers (Python.h, in python3-dev)"
        raise UserError(f"Triton cannot use this machine's GPU: {why}; {hint}") from error


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The host's tensor there; a GPU fetches it from pinned memory while the host continues."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(execution: Execution, at_once: int) -> int:
    """Threads per process, if that many processes share this machine's cores."""
    return execution.threads or max(1, available_cores() // at_once)


def use_threads(execution: Execution) -> int:
    """Give this process's operations `execution.threads` cores; the number changes no bit (see pipeline/__init__.py).

    The runs of a pack take turns: on small matrices Python threads that each train a run spend more time handing the
    interpreter's lock to one another than they gain (11 against 25 ms per step on two cores).
    """
    threads = execution.threads or available_cores()
    torch.set_num_threads(threads)
    return threads


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or this machine, had no memory left; PyTorch has no exception of its own for the latter."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def hardware(device: torch.device) -> str:
    """The name of the GPU, or of the processor where it says one."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line for line in lines if line.startswith("model name")]
        if names:
            return names[0].partition(":")[2].strip()
    return platform.processor() or platform.machine()


def process_facts(device: torch.device) -> dict[str, Any]:
    """Where this process runs, and the most memory it has had, of a GPU too where it has one."""
    gpu = {"peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {}
    return gpu | {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "host": platform.node(), "process": os.getpid(),
        "hardware": hardware(device),
        "device": str(device), "threads": torch.get_num_threads(),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip
