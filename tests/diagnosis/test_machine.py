"""Checks of a machine, from facts; and the facts of this one."""

from dataclasses import replace

import pytest

from pipeline.diagnosis import machine
from pipeline.diagnosis.machine import MachineFacts
from pipeline.diagnosis.machine_checks import CHECKS, results

GOOD = MachineFacts(
    host="n1", cores=8, memory=64e9, disk_free=5e11, disk_reason="", visible_gpus="0", gpus=1, torch_gpus=1,
    hub_cache="/hub", cached_models=2, token=True, offline=False, hub_reason="", bundled_reason="",
    c_compiler="/usr/bin/gcc",
)  # fmt: skip
BAD = [
    ("warn", "1 core", {"cores": 1}),
    ("problem", "execution.sweeps_dir", {"disk_reason": "/x: Read-only file system"}),
    ("problem", "clean.py", {"disk_free": 5e8}),
    ("warn", "plan=true", {"disk_free": 5e9}),
    ("problem", "Slurm gave GPU 0", {"torch_gpus": 0, "gpus": 0}),
    ("problem", "install PyTorch", {"torch_gpus": 0, "visible_gpus": None}),
    ("warn", "HF_TOKEN", {"token": False}),
    ("warn", "HF_HUB_OFFLINE=1", {"hub_reason": "no route"}),
    ("warn", "prefetch", {"hub_reason": "no route", "cached_models": 0}),
    ("warn", "prefetch", {"offline": True, "cached_models": 0}),
    ("problem", "install again", {"bundled_reason": "damaged"}),
    ("problem", "gcc", {"gpus": 1, "torch_gpus": 1, "c_compiler": None}),
]


@pytest.mark.parametrize(("level", "text", "change"), BAD)
def test_each_finding(level, text, change):
    found = [f for f in results(replace(GOOD, **change)) if f.level != "ok"]
    assert [f.level for f in found] == [level] and text in found[0].text and found[0].text.startswith("n1: ")


@pytest.mark.parametrize(
    "change", [{}, {"offline": True}, {"gpus": 0, "torch_gpus": 0, "visible_gpus": None}, {"torch_gpus": None}]
)
def test_silent_when_good(change):
    assert {f.level for f in results(replace(GOOD, **change))} == {"ok"}


def test_this_machine_and_its_hub_cache(tmp_path, monkeypatch):
    (tmp_path / "hub" / "models--a--b").mkdir(parents=True)
    (tmp_path / "token").write_text("secret")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    facts = machine.gather(tmp_path / "not" / "there", ask_torch=False)
    assert facts.cached_models == 1 and facts.token and facts.offline and not facts.bundled_reason
    assert facts.disk_free > 0 and not facts.disk_reason and not (tmp_path / "not").exists()


def test_the_last_case_of_every_check_applies_always():
    silent = replace(GOOD, cores=0, memory=0.0, disk_free=0.0, torch_gpus=None, gpus=0, cached_models=0)
    assert all(check[-1].when(silent) and check[-1].when(GOOD) for check in CHECKS.values())
