"""Which processes of this machine share blocks of activations."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.activations.block_cache import SharingGroup
from pipeline.errors import NotWritable
from pipeline.estimates.compute import SPARE, block_bytes, memory
from pipeline.estimates.disk import cache_bytes
from pipeline.launching.packing import machine_memory
from pipeline.launching.tasks import Task, TaskTable
from pipeline.records.identity import pack_identity
from pipeline.runtime.device import choose_device
from pipeline.storage.files import remove_folder
from pipeline.storage.layout import BLOCKS


def sharing_groups(table: TaskTable, starting: Sequence[Task]) -> dict[int, SharingGroup]:
    """Group the tasks that start together on one stream, where memory and disk have room for shared blocks.

    On a CPU only: a GPU computes blocks during its steps (pipeline/activations/prefetch.py), for its own hooks only.

    Returns:
        The group of each task that shares blocks, by the task's number.
    """
    starting = [task for task in starting if choose_device(table.pack(task.pack).execution).type == "cpu"]
    packs = {task.task: table.pack(task.pack).runs for task in starting}
    streams: dict[str, list[int]] = {}
    for number, runs in packs.items():
        streams.setdefault(pack_identity(runs[0]), []).append(number)
    found: dict[int, SharingGroup] = {}
    for numbers in streams.values():
        runs = [run for number in numbers for run in packs[number]]
        more = 2 * sum(block_bytes(runs) - block_bytes(packs[number]) for number in numbers)
        held = cache_bytes([packs[number] for number in numbers])
        in_memory = sum(memory(packs[number]) for number in numbers) + more
        enough = in_memory < SPARE * machine_memory() and held < shutil.disk_usage(table.folder).free / 2
        if len(numbers) > 1 and enough:
            folder, hooks = table.folder / BLOCKS / str(numbers[0]), sorted({run.hook_name for run in runs})
            for rank, number in enumerate(numbers):
                found[number] = SharingGroup(str(folder), rank, len(numbers), tuple(hooks))
    return found


def forget_blocks(folder: Path) -> None:
    """Remove shared blocks; to be called when no process of this sweep's folder shares any."""
    with suppress(OSError, NotWritable):
        remove_folder(folder / BLOCKS)
