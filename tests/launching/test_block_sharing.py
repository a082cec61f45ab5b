"""Which processes share blocks of activations."""

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.composed import compose
from pipeline.activations.block_cache import SharingGroup
from pipeline.config.schema import RunConfig
from pipeline.launching import block_sharing
from pipeline.launching.tasks import TaskTable
from pipeline.storage.layout import BLOCKS
from tests.factories import jobs

GIB = 2.0**30
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return compose(["architecture=baseline", "site=mlp_out"])


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_sharing, "machine_memory", lambda: 64 * GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 0, 100 * GIB))


def groups(folder: Path, *packs: list[RunConfig]) -> dict[int, SharingGroup]:
    table = TaskTable(folder)
    for runs in packs:
        (job,) = jobs(runs[:1], folder)
        table.add(table.add_pack(runs, job, job.execution), "local")
    return block_sharing.sharing_groups(table, table.tasks)


def test_packs_on_one_stream_have_a_rank_each_and_the_hooks_of_all(tmp_path, run):
    other = compose(["architecture=baseline", "site=resid_post"])
    found = groups(tmp_path, [run], [replace(run, sparsity_coefficient=9.0), other])
    assert [found[task].rank for task in (1, 2)] == [0, 1]
    assert {group.folder for group in found.values()} == {str(tmp_path / BLOCKS / "1")}
    assert all(group.hooks == tuple(sorted({run.hook_name, other.hook_name})) for group in found.values())


def test_a_stream_of_ones_own_is_shared_with_nobody(tmp_path, run):
    apart = replace(run, train=replace(run.train, block=2 * run.train.block))
    assert groups(tmp_path, [run], [apart]) == {}
    both = groups(tmp_path, [run], [apart], [replace(run, sparsity_coefficient=9.0)])
    assert sorted(both) == [1, 3]


def test_gpus_share_nothing(monkeypatch, tmp_path, run):
    monkeypatch.setattr(block_sharing, "choose_device", lambda execution: torch.device("cuda"))
    assert groups(tmp_path, [run], [replace(run, sparsity_coefficient=9.0)]) == {}


def test_nothing_is_shared_where_blocks_do_not_fit(monkeypatch, tmp_path, run):
    packs = [[run], [replace(run, sparsity_coefficient=9.0)]]
    monkeypatch.setattr(block_sharing, "machine_memory", lambda: 0.5 * GIB)
    assert groups(tmp_path, *packs) == {}
    monkeypatch.setattr(block_sharing, "machine_memory", lambda: 64 * GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 100 * GIB, 0.01 * GIB))
    assert groups(tmp_path, *packs) == {}


def test_blocks_are_forgotten_with_their_folder(tmp_path):
    (tmp_path / BLOCKS / "1").mkdir(parents=True)
    block_sharing.forget_blocks(tmp_path)
    block_sharing.forget_blocks(tmp_path)
    assert list(tmp_path.iterdir()) == []
