"""Loops compiled by Numba for a CPU, and their ranges split over threads.

Each number is summed by one thread in an order of its own, so no bit depends on how a loop is split.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch

Array = np.ndarray

MIN_PARALLEL_WORK = 16_000_000
"""Multiplications, about 0.5 ms, below which a second thread gains less than it costs to wake it."""


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Machine code without Python's lock, cached next to this file or in the user's cache if either can be written."""

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(nogil=True, error_model="numpy", cache=True, **options)(function)
        except RuntimeError:  # no folder can be written
            return numba.njit(nogil=True, error_model="numpy", **options)(function)

    return compile_


jit = _compiled()
jit_reassociating = _compiled(fastmath={"contract", "reassoc", "nsz"})  # sums over vectors, in any fixed order


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def split(
    loop: Callable[..., None], arguments: tuple[Any, ...], groups: int | Array, work: float
) -> list[tuple[int, int]]:
    """Call loop(*arguments, first, last) over ranges that cover all groups, in parallel if the work is worth it.

    Args:
        groups: their number if each is as much work; or the first entry of each, and the end of the last.
        work: multiplications, or operations that take as long.

    Returns:
        The ranges.
    """
    count = groups if isinstance(groups, int) else len(groups) - 1
    threads = torch.get_num_threads() if work >= MIN_PARALLEL_WORK else 1
    if threads == 1:
        loop(*arguments, 0, count)
        return [(0, count)]
    own, *others = ranges = list(pairwise(_cuts(groups, count, threads)))
    given = [_pool(threads - 1).submit(loop, *arguments, *bounds) for bounds in others]
    loop(*arguments, *own)
    for part in given:
        part.result()
    return ranges


def _cuts(groups: int | Array, count: int, threads: int) -> list[int]:
    """Bounds of one range per thread, each with as many groups or entries."""
    if isinstance(groups, int):
        return [count * part // threads for part in range(threads + 1)]
    inner = np.searchsorted(groups, [groups[-1] * part // threads for part in range(1, threads)])
    return [0, *inner.tolist(), count]
