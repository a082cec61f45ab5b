"""Blocks that processes share: the same for all, each computed once where they keep step, none lost."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.activations import block_cache
from pipeline.activations.block_cache import HELD, BlockCache, SharingGroup
from pipeline.activations.blocks import Block, StreamShape
from pipeline.errors import Interrupted

SHAPE, BLOCKS = StreamShape(9, 4, 8, 8), 12


class Process:
    """One of a group, here a thread; keeps which blocks it computed and what it read."""

    def __init__(self, folder: Path, rank: int = 0, world_size: int = 2) -> None:
        self.computed: list[int] = []
        self.read: list[Block] = []
        self.stop = threading.Event()
        group = SharingGroup(str(folder), rank, world_size, ("hook",))
        self.cache = BlockCache(group, SHAPE, self.compute, BLOCKS, torch.device("cpu"), self.stop.is_set)

    def compute(self, index: int) -> Block:
        if self.stop.is_set():
            raise Interrupted
        time.sleep(0.05)
        self.computed.append(index)
        generator = torch.Generator().manual_seed(index)
        return Block(index, SHAPE, {"hook": torch.randn(64, 4, generator=generator)})

    def take(self, indexes: range, seconds: float) -> None:
        for index in indexes:
            self.read.append(self.cache.read(index))
            time.sleep(seconds)

    def is_right(self) -> bool:
        return all(
            torch.equal(block.activations["hook"], Process.compute(Process.unread(), block.index).activations["hook"])
            for block in self.read
        )

    @staticmethod
    def unread() -> "Process":
        process = object.__new__(Process)
        process.computed, process.stop = [], threading.Event()
        return process


def together(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3])
def test_each_block_is_computed_once_and_read_by_all(
    world_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_cache, "HELD", BLOCKS)  # on a busy machine a thread may fall far behind
    processes = [Process(tmp_path, rank, world_size) for rank in range(world_size)]
    together(*(lambda process=process: process.take(range(BLOCKS), 0.15) for process in processes))
    assert sorted(index for process in processes for index in process.computed) == list(range(BLOCKS))
    assert all(len(process.read) == BLOCKS and process.is_right() for process in processes)
    assert all(process.computed for process in processes), "the work is divided"
    for process in processes:
        process.cache.close()
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith("at-")]


def test_few_blocks_lie_ready_for_one_that_is_far_behind(tmp_path: Path) -> None:
    fast, slow = Process(tmp_path, 0), Process(tmp_path, 1)
    fast.take(range(BLOCKS), 0)
    assert len(list(tmp_path.glob("*.for-1"))) == HELD and not list(tmp_path.glob("*.for-0"))
    slow.take(range(BLOCKS), 0)
    assert slow.computed == list(range(HELD, BLOCKS)) and slow.is_right()


def test_one_that_begins_further_on_leaves_nothing_behind(tmp_path: Path) -> None:
    late, early = Process(tmp_path, 0), Process(tmp_path, 1)
    early.cache._arrive(0)
    late.take(range(6, 8), 0)
    early.take(range(BLOCKS), 0)
    assert early.computed == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11] and early.is_right()
    assert len(list(tmp_path.glob("*.for-0"))) <= HELD
    late.cache.close()
    assert not list(tmp_path.glob("*.for-0"))


def test_a_claim_of_a_process_that_died_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "0.claim").write_text("999999999 1")
    process = Process(tmp_path)
    process.take(range(1), 0)
    assert process.computed == [0] and not (tmp_path / "0.claim").exists()


def test_a_claim_that_lasts_too_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_cache, "PATIENCE_SECONDS", 0.3)
    maker, waiting = Process(tmp_path, 0), Process(tmp_path, 1)
    assert maker.cache._claim(0) and not waiting.cache._claim(0)
    waiting.take(range(1), 0)
    assert waiting.computed == [1, 0] and waiting.is_right(), "one block ahead meanwhile, then its own"


def test_a_damaged_block_is_made_again(tmp_path: Path) -> None:
    process = Process(tmp_path)
    (tmp_path / "0.for-0").write_bytes(b"half of")
    process.take(range(1), 0)
    assert process.computed == [0] and process.is_right()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = Process(tmp_path / "file")
    process.take(range(3), 0)
    assert process.computed == [0, 1, 2] and process.is_right()


def test_a_stop_is_not_waited_through(tmp_path: Path) -> None:
    maker, waiting = Process(tmp_path, 0), Process(tmp_path, 1)
    assert maker.cache._claim(0) and maker.cache._claim(1)
    threading.Timer(0.3, waiting.stop.set).start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        waiting.cache.read(0)
    assert time.monotonic() - started < 5
