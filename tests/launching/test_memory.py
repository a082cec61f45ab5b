"""Want of memory: a run's own is its failure; the pack's is no run's, and smaller packs are tried."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.config.schema import RunConfig
from pipeline.launching.exit_reason import by_signal, in_log
from pipeline.launching.launch import launch
from pipeline.pack.evaluation import Evaluation
from pipeline.pack.training import Training
from pipeline.records import record
from pipeline.sae import registry
from pipeline.sae.architectures.baseline import BaselineConfig, BaselineSAE
from pipeline.storage.reading import whole_object
from tests.factories import jobs
from tests.kills.victim import runs, train
from tests.launching.sweeps import assert_same_runs

NO_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB"


class HungryConfig(BaselineConfig):
    """A baseline under another name."""


class HungrySAE(BaselineSAE):
    """Finds no memory in its fifth step."""

    steps = 0

    def take_gradients(self, x, at):
        self.steps += 1
        if self.steps == 5:
            raise torch.OutOfMemoryError(NO_MEMORY)
        return super().take_gradients(x, at)


@pytest.fixture(scope="module")
def four(tiny_model, tiny_text) -> list[RunConfig]:
    return runs(tiny_model, tiny_text)


@pytest.fixture(scope="module")
def undisturbed(four, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(four, folder)
    return folder


def failures(folder: Path) -> dict[str, dict]:
    return {path.parent.name: whole_object(path) for path in folder.glob("runs/*/failure.json")}


def test_a_run_that_finds_no_memory_in_its_step_stops_no_other(four, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry._ARCHITECTURES))
    registry.register("hungry", HungryConfig)(HungrySAE)
    hungry = replace(four[3], architecture=HungryConfig(name="hungry", expansion=4.0))
    train([hungry, *four[:3]], tmp_path)
    (failure,) = failures(tmp_path).values()
    assert failure["error"] == "OutOfMemoryError" and failure["reason"] == NO_MEMORY and failure["step"] == 4
    assert "take_gradients" in failure["traceback"]
    names = [record.run_folder(tmp_path, run).name for run in (hungry, four[3])]
    assert_same_runs(undisturbed, tmp_path, but=names)


def halved(four: list[RunConfig], folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    """All four launched in this process, in one pack at first."""
    complete = launch(jobs(four, folder, "memory"))
    return complete, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "where"), [(Training, "_read_block"), (Evaluation, "_evaluate_together"), (Training, "_begin")]
)
def test_a_pack_too_large_for_the_memory_is_halved_and_nobody_fails(
    four, undisturbed, tmp_path, monkeypatch, capsys, part, where
):
    """In the language model's forward, when all are evaluated, and when the runs' tensors are made."""
    real = getattr(part, where)

    def too_large(self: Training | Evaluation, *given):
        if len(self.shared.pack.states) > 2:
            raise torch.OutOfMemoryError(NO_MEMORY)
        return real(self, *given)

    monkeypatch.setattr(part, where, too_large)
    complete, output = halved(four, tmp_path, capsys)
    assert complete and not failures(tmp_path), output
    assert output.count("again in halves") == 1 and NO_MEMORY in output
    assert_same_runs(undisturbed, tmp_path)


@pytest.mark.slow
def test_a_run_whose_forward_finds_no_memory_alone_is_named(four, undisturbed, tmp_path, monkeypatch, capsys):
    real, culprit = Training._read_block, four[2]

    def too_large(self: Training, *given):
        if culprit in [state.run for state in self.shared.pack.active]:
            raise torch.OutOfMemoryError(NO_MEMORY)
        return real(self, *given)

    monkeypatch.setattr(Training, "_read_block", too_large)
    complete, output = halved(four, tmp_path, capsys)
    assert not complete and output.count("again in halves") == 2, output
    name = record.run_folder(tmp_path, culprit).name
    assert failures(tmp_path).keys() == {name} and failures(tmp_path)[name]["error"] == "OutOfMemoryError"
    assert_same_runs(undisturbed, tmp_path, but=[name])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("srun: error: n1: task 0: Killed", "(out of memory?): n1: task 0: Killed"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0\nsrun: error: n1: task 0: Out Of Memory",
         "(out of memory): n1: task 0: Out Of Memory"),
        ("slurmstepd: error: Step 7.0 exceeded memory limit (9 > 5), being killed", "(out of memory): Step 7.0"),
        ("srun: error: n1: task 0: Segmentation fault (core dumped)", "n1: task 0: Segmentation fault"),
        ("no word of Slurm's: Killed", "FAILED"),
    ],
)  # fmt: skip
def test_a_death_on_slurm_in_plain_words(tmp_path, words, told):
    (tmp_path / "log").write_text(f"step 3\n{words}\n")
    assert told in in_log(tmp_path / "log", "FAILED")
    assert in_log(tmp_path / "absent", "OUT_OF_MEMORY") == "killed by the system (out of memory)"


def test_a_death_here_in_plain_words():
    assert by_signal(9) == "killed by the system (out of memory?): signal 9, SIGKILL"
    assert by_signal(11) == "its process was ended by signal 11, SIGSEGV"
