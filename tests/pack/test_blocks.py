"""Blocks made beside the steps: the same blocks, one after the other, and nothing left running."""

import threading
from collections.abc import Collection
from typing import Any

import pytest
import torch

from pipeline.activations.blocks import Block, StreamShape
from pipeline.activations.prefetch import PrefetchedBlocks
from pipeline.errors import Interrupted

SHAPE = StreamShape(9, 4, 8, 16)
CPU = torch.device("cpu")


class Maker:
    """Makes blocks, says in which thread, and stands where the next one begins."""

    def __init__(self) -> None:
        self.made: list[tuple[int, list[str], str]] = []
        self.at, self.may_go_on, self.error = 0, threading.Event(), None
        self.may_go_on.set()

    def make(self, index: int, hooks: Collection[str]) -> Block:
        assert self.may_go_on.wait(30)
        self.made.append((index, sorted(hooks), threading.current_thread().name))
        if self.error:
            raise self.error
        self.at = index + 1
        return Block(index, SHAPE, {hook: torch.full((3, 2), float(index)) for hook in hooks})

    def position(self) -> dict[str, Any]:
        return {"at": self.at}


def blocks_of(maker: Maker, room_for_two: bool = True) -> PrefetchedBlocks:
    return PrefetchedBlocks(maker.make, maker.position, CPU, room_for_two)


def test_the_next_block_is_made_in_a_thread_and_is_the_one_that_is_read():
    maker = Maker()
    with blocks_of(maker) as blocks:
        for index in range(3):
            block = blocks.read(index, ["b"])
            assert block.index == index and block.activations["b"].eq(index).all()
            blocks.prefetch(index + 1, ["b"])
    main = threading.main_thread().name
    assert maker.made == [(0, ["b"], main), *((index, ["b"], "prefetch-block") for index in (1, 2, 3))]


def test_a_block_that_was_made_beside_is_waited_for_where_it_is_read(monkeypatch):
    """Or its rest would count as seconds of whoever trains on it first."""
    waits: list[str] = []
    monkeypatch.setattr(torch.cpu, "synchronize", lambda: waits.append("waited"))
    with blocks_of(Maker()) as blocks:
        blocks.read(0, ["b"])
        assert not waits
        blocks.prefetch(1, ["b"])
        blocks.read(1, ["b"])
        assert len(waits) == 1


def test_it_goes_on_beside_other_work_and_the_position_is_that_before_it():
    maker = Maker()
    with blocks_of(maker) as blocks:
        blocks.read(0, ["a"])
        maker.may_go_on.clear()
        blocks.prefetch(1, ["a"])  # returns, though nothing is made yet
        assert blocks.position() == {"at": 1}
        maker.may_go_on.set()
        blocks.read(1, ["a"])
        assert blocks.position() == {"at": 2}


def test_a_block_of_more_hooks_will_do_and_one_of_fewer_or_another_will_not():
    maker = Maker()
    with blocks_of(maker) as blocks:
        blocks.prefetch(1, ["a", "b"])
        assert blocks.read(1, ["a"]).activations.keys() >= {"a"}
        blocks.prefetch(2, ["a"])
        assert blocks.read(2, ["a", "b"]).activations.keys() == {"a", "b"}
        blocks.prefetch(3, ["a"])
        assert blocks.read(5, ["a"]).index == 5
    assert [index for index, _, _ in maker.made] == [1, 2, 2, 3, 5]


def test_where_two_find_no_room_one_is_made_at_a_time():
    maker = Maker()
    with blocks_of(maker) as blocks:
        maker.error = torch.OutOfMemoryError("none left")
        blocks.prefetch(1, ["a"])
        assert (prefetched := blocks._prefetcher._next) is not None and prefetched.result() is None
        maker.error = None
        assert blocks.read(1, ["a"]).index == 1
        blocks.prefetch(2, ["a"])
        assert [thread for _, _, thread in maker.made] == ["prefetch-block", threading.main_thread().name]


@pytest.mark.parametrize("error", [ValueError("bad text"), Interrupted()])
def test_an_error_waits_for_the_one_who_reads(error):
    maker = Maker()
    with blocks_of(maker) as blocks:
        maker.error = error
        blocks.prefetch(1, ["a"])
        with pytest.raises(type(error)):
            blocks.read(1, ["a"])


def test_an_end_waits_for_what_still_uses_the_language_model():
    maker = Maker()
    maker.may_go_on.clear()
    with blocks_of(maker) as blocks:
        blocks.prefetch(1, ["a"])
        threading.Timer(0.2, maker.may_go_on.set).start()
    assert [index for index, _, _ in maker.made] == [1]


def test_on_a_cpu_nothing_is_made_before_it_is_read():
    maker = Maker()
    with blocks_of(maker, room_for_two=False) as blocks:
        blocks.prefetch(1, ["a"])
        assert not maker.made
        blocks.read(1, ["a"])
    assert maker.made == [(1, ["a"], threading.main_thread().name)]
