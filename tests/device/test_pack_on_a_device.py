"""Packs on a device that is not the CPU: what only a GPU would show, tensors of two devices in one operation above all.

The device is pretend.cpp's, whose memory and operations are the host's; it takes the way of a GPU through the pipeline.
"""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.config.schema import RunConfig
from pipeline.records import record
from pipeline.records.finished import finished
from pipeline.records.identity import evaluation_identity
from pipeline.sae.sparse_step import selection
from tests.device.pretend import COMPILER
from tests.device.train import few, rounded, train
from tests.pack.test_pack import sixteen

COMPARED = 4  # steps: at this learning rate the rounding of a gradient near zero soon shows


@pytest.fixture(scope="module")
def on_device(tiny_model: Path, tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(COMPILER) is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("device")
    given = [sys.executable, "-m", "tests.device.train", str(tiny_model), str(tiny_text), str(folder)]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def history(folder: Path, run: RunConfig) -> list[dict[str, float]]:
    with (record.run_folder(folder, run) / record.HISTORY).open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def assert_trained_alike(runs: list[RunConfig], folder: Path, other: Path, rtol: float) -> None:
    for run in runs:
        found, expected = history(folder, run), history(other, run)
        assert len(found) == len(expected) == run.train.steps
        for one, two in list(zip(found, expected, strict=True))[:COMPARED]:
            assert one["loss"] == pytest.approx(two["loss"], rel=rtol), run.architecture
            assert one["l0"] == pytest.approx(two["l0"], rel=rtol, abs=0.1)
        read = finished(record.run_folder(folder, run), evaluation_identity(run))
        assert read is not None and read["metrics"]["l0"] > 0


def test_a_training_is_that_of_a_cpu(on_device, tiny_model, tiny_text, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 0.0})
    runs = sixteen(tiny_model, tiny_text)
    train(runs, tmp_path, "cpu")
    assert_trained_alike(runs[:-1], on_device / "whole", tmp_path, 1e-5)
    failures = {path.parent.name for path in on_device.glob("whole/runs/*/failure.json")}
    assert failures == {record.run_folder(tmp_path, runs[-1]).name}, "the one that diverges"


def test_killed_and_resumed_is_never_killed(on_device, tiny_model, tiny_text) -> None:
    for run in sixteen(tiny_model, tiny_text)[:-1]:
        one, two = (record.run_folder(on_device / kind, run) for kind in ("whole", "interrupted"))
        weights = load_file(one / "sae_weights.safetensors"), load_file(two / "sae_weights.safetensors")
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
        assert (one / record.HISTORY).read_text() == (two / record.HISTORY).read_text()
        assert "checkpoint at step" in (two / "log.txt").read_text()


def test_tritons_loops_train_as_a_cpus_do(on_device, tiny_model, tiny_text, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": selection.ALWAYS})
    runs = few(tiny_model, tiny_text)
    train(runs, tmp_path, "cpu")
    assert_trained_alike(runs, on_device / "sparse", tmp_path, 1e-5)
    for run in runs:
        assert history(on_device / "sparse", run)[-1]["sparse_steps"] == run.train.steps


def test_bfloat16_rounds_as_on_a_cpu(on_device, tiny_model, tiny_text, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 0.0})
    runs = rounded(tiny_model, tiny_text)
    train(runs, tmp_path, "cpu")
    assert_trained_alike(runs, on_device / "bfloat16", tmp_path, 2e-2)
