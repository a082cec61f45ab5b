"""The hook that says what a process is doing."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.storage import phases
from pipeline.storage.files import write_bytes
from pipeline.storage.lease import Leases
from pipeline.storage.phases import listen, phase


def test_a_listener_is_around_every_phase(tmp_path, monkeypatch):
    monkeypatch.setattr(phases, "_listener", None)
    there = []

    @contextmanager
    def listener(name: str, about: object) -> Iterator[None]:
        there.append((name, about, (tmp_path / "a").exists()))
        yield
        there.append((name, about, (tmp_path / "a").exists()))

    listen(listener)
    write_bytes(tmp_path / "a", b"x")
    assert there == [("rename", tmp_path / "a", False), ("rename", tmp_path / "a", True)]
    there.clear()
    with Leases([tmp_path]):
        assert [(name, about) for name, about, _ in there] == [
            ("lease", None), ("rename", tmp_path / "lease.json"), ("rename", tmp_path / "lease.json"), ("lease", None),
        ]  # fmt: skip


def test_a_function_in_a_phase_returns_and_raises_as_it_is(monkeypatch):
    monkeypatch.setattr(phases, "_listener", None)

    @phase("division")
    def divide(a: int, b: int) -> float:
        return a / b

    assert divide(1, 2) == 0.5
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
