"""How many packs at once a machine is good for, where the user does not say."""

from dataclasses import replace

import pytest

from benchmarks.composed import compose
from pipeline.config.schema import Execution, RunConfig
from pipeline.launching import slots as of_machine

GIB = 2.0**30


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return compose(["architecture=baseline"])


def slots(monkeypatch: pytest.MonkeyPatch, run: RunConfig, runs: int, cores: int, memory: float = 64, **changes) -> int:
    monkeypatch.setattr(of_machine, "available_cores", lambda: cores)
    monkeypatch.setattr(of_machine, "machine_memory", lambda: memory * GIB)
    return of_machine.slots_for([replace(run, seed=seed) for seed in range(runs)], Execution(device="cpu", **changes))


@pytest.mark.parametrize(
    ("runs", "cores", "expected"), [(30, 2, 2), (80, 8, 8), (4, 8, 1), (20, 8, 5), (1, 2, 1), (0, 2, 1), (30, 1, 1)]
)
def test_a_core_each_while_every_process_has_enough_runs(monkeypatch, run, runs, cores, expected):
    assert slots(monkeypatch, run, runs, cores) == expected


def test_the_threads_that_the_user_wants_are_left_to_each(monkeypatch, run):
    assert slots(monkeypatch, run, 32, 8, threads=4) == 2
    assert slots(monkeypatch, run, 32, 8, threads=16) == 1


def test_all_packs_together_fit_into_memory(monkeypatch, run):
    found = [slots(monkeypatch, run, 80, 8, memory=gib) for gib in (64, 8, 4, 1)]
    assert found == sorted(found, reverse=True) and found[0] == 8 and 1 < found[1] < 8 and found[-1] == 1


def test_large_steps_keep_all_cores_busy_in_one_process(monkeypatch, run):
    large = replace(run, train=replace(run.train, batch=4096))
    assert slots(monkeypatch, large, 30, 8) == 1


def test_a_large_language_model_is_not_run_once_a_core(monkeypatch, run):
    """Only by the packs that there are anyway, of sixteen runs at most."""
    behind = replace(run, model=compose(["model=pythia_70m"]).model)
    assert [slots(monkeypatch, behind, runs, 8) for runs in (16, 32, 48)] == [1, 2, 3]
