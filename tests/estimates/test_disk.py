"""The estimate of disk against what a pack really leaves and holds, and what is said when it is not there."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from benchmarks.composed import compose
from pipeline.errors import UserError
from pipeline.estimates.disk import Need, check, needed

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def smoke():
    """The runs of sweep=smoke."""
    return [
        compose([f"architecture={name}", f"sparsity_coefficient={value}", "train.steps=300"])
        for name in ("baseline", "gated")
        for value in (2.0, 8.0)
    ]


def test_it_is_what_smoke_was_seen_to_take(smoke):
    """du on sweep=smoke with checkpoints every second: 52,855,010 bytes at the most, 10,669,606 at the end."""
    need = needed([smoke])
    assert 1.0 < need.kept / 10_669_606 < 1.1
    assert 1.0 < need.most / 52_855_010 < 1.25


def test_packs_one_after_the_other_hold_their_checkpoints_one_after_the_other(smoke):
    apart = [[run] for run in smoke]
    assert needed(apart).most < needed(apart, at_once=2).most < needed(apart, at_once=9).most
    assert needed(apart).kept == needed([smoke]).kept and needed([]) == Need(0, 0)


def test_less_than_needed_is_a_warning_and_less_than_kept_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9e9, 0, 2e9))
    where: Path = tmp_path / "not" / "there"
    assert check(Need(1e9, 1e9), where) is None
    said = check(Need(5e9, 1e9), where)
    assert said is not None and "2.0 GB free" in said and "5.0 GB" in said and "\n" not in said
    with pytest.raises(UserError, match=r"2\.0 GB free, and these runs leave 3\.0 GB: make room"):
        check(Need(5e9, 3e9), where)
