"""The machine in words, and its matrix-product rate: no host names."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch


def seconds(call: Callable[[], object], device: str = "cpu") -> float:
    """Wall-clock time of a call, with what it started on a GPU."""
    _finish(device)
    started = time.perf_counter()
    call()
    _finish(device)
    return time.perf_counter() - started


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


class MatmulRate:
    """fp32 operations a second of a 1024 x 512 x 2048 product, taken between other measurements."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.a, self.b = torch.randn(1024, 512, device=device), torch.randn(512, 2048, device=device)
        self.product = self.a @ self.b

    def __call__(self) -> float:
        took = seconds(lambda: torch.mm(self.a, self.b, out=self.product), self.device)
        return 2 * self.a.numel() * self.b.shape[1] / took

    def best(self, tries: int = 8) -> float:
        return max(self() for _ in range(tries))


def processor() -> str:
    """The kind of processor, as the kernel says it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def widest_instructions() -> str:
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.is_file() else ""
    return next((name for name in ("avx512f", "avx2") if name in flags), "")


def cores_busy(for_seconds: float = 1.0) -> float:
    """How many cores' worth of work is done here while we wait: by somebody else, then. 0 where no kernel says.

    A load average would still remember the benchmark before this one.
    """
    path = Path("/proc/stat")
    if not path.is_file():
        return 0.0
    ticks: list[list[int]] = []
    for pause in (for_seconds, 0.0):
        ticks.append([int(word) for word in path.read_text().splitlines()[0].split()[1:9]])
        time.sleep(pause)
    user, nice, system, idle, iowait, irq, softirq, steal = (b - a for a, b in zip(*ticks, strict=True))
    busy = user + nice + system + irq + softirq + steal
    return (os.cpu_count() or 1) * busy / max(1, busy + idle + iowait)


def words(device: str = "cpu") -> str:
    """One line: cores, processor, matmul rate, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rate = MatmulRate(device).best() / 1e9
    gpu = f", {torch.cuda.get_device_name()}" if device.startswith("cuda") else ""
    return (
        f"{cores} cores of {processor()} ({widest_instructions()}){gpu}, fp32 matmul at {rate:.0f} GFLOP/s with "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"
    )
