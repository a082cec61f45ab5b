"""Where a pack computes: device, cores, and threads that train its runs side by side."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

from pipeline.config import Execution
from pipeline.errors import UserError

T = TypeVar("T")


def choose_device(execution: Execution) -> torch.device:
    if execution.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(execution.device)
    except RuntimeError as error:
        raise UserError(f"execution.device={execution.device} is unknown; auto, cpu, cuda or cuda:1 would be") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"execution.device={execution.device}, but this machine shows no GPU: auto or cpu would run")
    return device


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Threads that each take one run through a block; together they use the cores that they are given.

    With more cores than runs, each run's own operations use several: that changes no bit, see MKL_CBWR in
    `pipeline.__init__`.
    """

    def __init__(self, threads: int, runs: int, device: torch.device) -> None:
        self.count = 1 if device.type == "cuda" else max(1, min(threads, runs))
        self.threads_each = max(1, threads // self.count)
        torch.set_num_threads(threads)  # of this thread: the language model runs here, between blocks
        self._pool = ThreadPoolExecutor(self.count, initializer=torch.set_num_threads, initargs=(self.threads_each,))

    def map(self, function: Callable[[T], None], items: Iterable[T]) -> None:
        for future in [self._pool.submit(function, item) for item in items]:
            future.result()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
