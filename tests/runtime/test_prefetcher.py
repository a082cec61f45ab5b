"""One item in advance: the position stays before it, an error waits for its reader, an end waits briefly."""

import threading
import time

import pytest

from pipeline.runtime.prefetcher import Prefetcher


class Source:
    """Whole numbers, each of which waits until it may be read."""

    def __init__(self) -> None:
        self.at, self.may_go_on = 0, threading.Event()

    def read(self) -> int:
        assert self.may_go_on.wait(30)
        self.at += 1
        return self.at

    def position(self) -> dict[str, int]:
        return {"at": self.at}


def test_an_item_is_computed_meanwhile_and_the_position_stays_before_it() -> None:
    source = Source()
    prefetcher: Prefetcher[str, int] = Prefetcher(source.position, "prefetch")
    assert prefetcher.take() is None and prefetcher.position() == {"at": 0}
    prefetcher.start("first", source.read)
    source.may_go_on.set()
    time.sleep(0.05)
    assert prefetcher.position() == {"at": 0}
    taken = prefetcher.take()
    assert taken is not None and (taken.key, taken.result(), prefetcher.position()) == ("first", 1, {"at": 1})


def test_an_error_waits_for_its_reader() -> None:
    prefetcher: Prefetcher[str, int] = Prefetcher(dict, "prefetch")
    prefetcher.start("first", lambda: 1 // 0)
    taken = prefetcher.take()
    assert taken is not None
    with pytest.raises(ZeroDivisionError):
        taken.result()


def test_an_end_waits_no_longer_than_it_is_told() -> None:
    source = Source()
    prefetcher: Prefetcher[str, int] = Prefetcher(source.position, "prefetch")
    prefetcher.start("first", source.read)
    started = time.monotonic()
    prefetcher.close(0.1)
    assert time.monotonic() - started < 5 and prefetcher.take() is None
    source.may_go_on.set()
