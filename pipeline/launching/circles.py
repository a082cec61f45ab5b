"""Which processes of this machine make blocks of activations for one another."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.cost import SPARE, block_bytes, memory
from pipeline.disk import exchange_bytes
from pipeline.errors import NotWritable
from pipeline.execution import choose_device
from pipeline.files import remove_folder
from pipeline.identity import pack_identity
from pipeline.launching.packing import machine_memory
from pipeline.launching.tasks import Task, TaskTable
from pipeline.pack.exchange import Circle

BLOCKS = "blocks"
"""Folder, beside a sweep's table of tasks, in which processes exchange blocks; empty when none runs."""


def circles(table: TaskTable, starting: Sequence[Task]) -> dict[int, Circle]:
    """By task: those that start together on one stream exchange its blocks, where memory and disk have room.

    On a CPU: a GPU makes blocks beside its steps (pipeline/pack/blocks.py), and has memory for its own hooks' only.
    """
    starting = [task for task in starting if choose_device(table.pack(task.pack).execution).type == "cpu"]
    packs = {task.task: table.pack(task.pack).runs for task in starting}
    streams: dict[str, list[int]] = {}
    for number, runs in packs.items():
        streams.setdefault(pack_identity(runs[0]), []).append(number)
    found: dict[int, Circle] = {}
    for numbers in streams.values():
        runs = [run for number in numbers for run in packs[number]]
        more = 2 * sum(block_bytes(runs) - block_bytes(packs[number]) for number in numbers)
        held = exchange_bytes([packs[number] for number in numbers])
        in_memory = sum(memory(packs[number]) for number in numbers) + more
        enough = in_memory < SPARE * machine_memory() and held < shutil.disk_usage(table.folder).free / 2
        if len(numbers) > 1 and enough:
            folder, hooks = table.folder / BLOCKS / str(numbers[0]), sorted({run.hook_name for run in runs})
            for place, number in enumerate(numbers):
                found[number] = Circle(str(folder), place, len(numbers), tuple(hooks))
    return found


def forget_blocks(folder: Path) -> None:
    """When no process of a sweep's folder is left that exchanges them."""
    with suppress(OSError, NotWritable):
        remove_folder(folder / BLOCKS)
