"""Contract 2: a pack changes nothing but the time. Contract 4: killed and resumed equals never killed."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file

from pipeline.activations.blocks import Block, StreamShape, calibration_size
from pipeline.config.schema import (
    DataConfig,
    EvalConfig,
    Execution,
    ResampleConfig,
    RunConfig,
    TrainConfig,
    evaluation_settings,
)
from pipeline.errors import Interrupted
from pipeline.monitoring.progress import Progress
from pipeline.pack import Pack
from pipeline.records import identity, record
from pipeline.records.finished import record_folder
from pipeline.records.identity import evaluation_identity, pack_identity, reference_identity, run_name
from pipeline.records.status import read_run
from pipeline.sae.architectures.baseline import BaselineConfig
from pipeline.sae.architectures.gated import GatedConfig
from pipeline.storage.reading import whole_object
from pipeline.tokens.prefetch import PrefetchedContexts
from pipeline.training.trainer import Trainer
from tests.factories import HOOKS, tiny_run

pytestmark = pytest.mark.xdist_group("packed")  # one worker trains the sixteen for all of them

TRAIN = TrainConfig(
    steps=60, batch=32, lr=3e-2, lr_warmup=5, block=600, lm_batch=4, calibration=300,
    resample=ResampleConfig(steps=(25, 45), window=5, inputs=200, lr_warmup=10),
)  # fmt: skip
EVAL = EvalConfig(sequences=12, batch=4)


def make_run(model: Path, text: Path, site: str = "mlp_out", architecture=None, **changes) -> RunConfig:
    given = {"train": TRAIN, "eval": EVAL, "architecture": architecture or GatedConfig(expansion=4)}
    return tiny_run(model, text, site=site, **(given | changes))


def sixteen(model: Path, text: Path) -> list[RunConfig]:
    """Both arms, three sites, two widths, two layers; resampling in all; the last one diverges."""
    runs = [
        make_run(model, text, site, architecture, layer=layer, sparsity_coefficient=10.0 * (1 + layer))
        for site in HOOKS
        for layer, architecture in [
            (0, GatedConfig(expansion=2)), (1, GatedConfig(expansion=4)), (1, BaselineConfig(expansion=3)),
            (0, BaselineConfig(expansion=6)), (1, GatedConfig(expansion=2)),
        ]
    ]  # fmt: skip
    return [*runs, make_run(model, text, train=replace(TRAIN, lr=1e30))]


def execute(runs: list[RunConfig], folder: Path, threads: int = 2, stop: threading.Event | None = None) -> Pack:
    execution = Execution(
        device="cpu", threads=threads, history_every=5, checkpoint_seconds=0.0, sweeps_dir=str(folder)
    )
    with Progress(runs) as progress:
        pack = Pack(runs, execution, progress, stop or threading.Event())
        pack.execute()
    return pack


class StopAfter(threading.Event):
    """Set once it has been asked so many times: in the middle of a block."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def is_set(self) -> bool:
        self.times -= 1
        return self.times < 0


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, sums, history and record, bit for bit; what says where it ran is not compared."""
    for name in ("sae_weights.safetensors", record.SEQUENCES):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    for name in (record.METRICS, record.HISTORY, "cfg.json", "config.yaml"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture(scope="module")
def packed(tiny_model, tiny_text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    runs = sixteen(tiny_model, tiny_text)
    return folder, runs, execute(runs, folder)


@pytest.mark.slow
def test_each_run_of_a_pack_equals_its_lone_twin(packed, tmp_path):
    folder, runs, _ = packed
    resampled = 0
    for run in runs[:-1]:
        execute([run], tmp_path, threads=1)
        assert_same_run(record.run_folder(folder, run), record.run_folder(tmp_path, run))
        history = (record.run_folder(folder, run) / record.HISTORY).read_text()
        resampled += any(float(line.split(",")[7]) > 0 for line in history.splitlines()[1:])
    assert resampled, "no run had a dead feature to resample: the test shows nothing about resampling"


@pytest.mark.slow
def test_a_diverging_run_leaves_a_failure_record_and_stops_no_other(packed):
    folder, runs, _ = packed
    diverged = record.run_folder(folder, runs[-1])
    failure = whole_object(diverged / record.FAILURE)
    assert failure is not None and failure["error"] == "TrainingDiverged" and "step" in failure["reason"]
    assert not (diverged / record.METRICS).exists()
    assert all((record.run_folder(folder, run) / record.METRICS).exists() for run in runs[:-1])


@pytest.mark.slow
def test_each_run_is_the_first_of_a_block_as_often_as_any_other(packed, tmp_path, monkeypatch):
    """Whoever is first waits for more than its own work: seconds are compared between runs."""
    _, runs, _ = packed
    first: dict[int, str] = {}

    def noted(trainer: Trainer, block: Block, stop: threading.Event) -> None:
        first.setdefault(block.index, run_name(trainer.run))
        train_on(trainer, block, stop)

    train_on = Trainer.train_on
    monkeypatch.setattr(Trainer, "train_on", noted)
    execute(runs[:3], tmp_path)
    assert len(first) >= 3
    assert [first[index] for index in range(3)] == [run_name(run) for run in runs[:3]]


@pytest.mark.slow
def test_a_pack_reads_the_language_model_once(packed):
    _, runs, pack = packed
    shape = StreamShape.of(TRAIN, 32)
    training = shape.contexts_read(TRAIN.steps) // TRAIN.lm_batch
    calibration = calibration_size(TRAIN, 32) // TRAIN.lm_batch
    batches = EVAL.sequences // EVAL.batch
    hooks = len({run.hook_name for run in runs})
    references = batches * (1 + 1 + 2 * hooks)  # one pass to all hooks; clean from there; two ablations of each
    evaluated = batches * (1 + len(runs) - 1)  # one pass to all hooks; one spliced at each SAE
    assert pack.language_model is not None
    assert pack.language_model.forwards == training + calibration + references + evaluated


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted_also_in_another_pack(packed, tiny_model, tiny_text, tmp_path):
    folder, runs, _ = packed
    chosen = [runs[1], runs[2]]
    with pytest.raises(Interrupted):
        execute(chosen, tmp_path, stop=StopAfter(50))
    kept = [list((record.run_folder(tmp_path, run) / "checkpoints").glob("*.json")) for run in chosen]
    assert all(kept), "both runs have a checkpoint"
    execute([runs[1], runs[6]], tmp_path)  # another composition
    execute([runs[2]], tmp_path, threads=1)
    for run in (runs[1], runs[2], runs[6]):
        assert_same_run(record.run_folder(folder, run), record.run_folder(tmp_path, run))


@pytest.mark.slow
def test_a_stream_is_read_ahead_and_gone_on_with_where_it_was_left(tiny_model, tiny_text, tmp_path, monkeypatch):
    rows = [{"text": path.read_text()[:400]} for path in sorted(tiny_text.glob("*.txt"))]
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_list(rows).to_iterable_dataset()
    )
    data = DataConfig("hub", "hub", dataset="somebody/something", revision="abc", evaluation_documents=8)
    runs = [make_run(tiny_model, tiny_text, data=data, architecture=a) for a in (GatedConfig(), BaselineConfig())]
    prepared: list[tuple[int, int]] = []
    prepare = PrefetchedContexts.prefetch

    def noted(self: PrefetchedContexts, first: int, count: int) -> None:
        prepared.append((first, count))
        prepare(self, first, count)

    monkeypatch.setattr(PrefetchedContexts, "prefetch", noted)
    execute(runs, tmp_path / "whole")
    size = StreamShape.of(TRAIN, 32).contexts_per_block
    assert prepared == [(size * block, size) for block in (1, 2, 3)]
    with pytest.raises(Interrupted):
        execute(runs, tmp_path / "stopped", stop=StopAfter(80))
    for run in runs:
        newest = max((record.run_folder(tmp_path / "stopped", run) / "checkpoints").glob("*.json"))
        assert 0 < json.loads(newest.read_text())["kept"]["source_position"]["number"] <= size
    prepared.clear()
    execute(runs[:1], tmp_path / "stopped")
    assert prepared == [(size * block, size) for block in (2, 3)]
    execute(runs[1:], tmp_path / "stopped", threads=1)
    for run in runs:
        assert_same_run(record.run_folder(tmp_path / "whole", run), record.run_folder(tmp_path / "stopped", run))


def test_thresholds_are_of_an_evaluations_identity_and_not_of_its_references(tiny_model, tiny_text):
    run = make_run(tiny_model, tiny_text)
    pruned = replace(run, eval=replace(EVAL, prune_below=(0.1,)))
    assert run_name(run) == run_name(pruned) and evaluation_identity(run) != evaluation_identity(pruned)
    assert reference_identity(run) == reference_identity(pruned) == evaluation_identity(run)
    assert set(evaluation_settings(EVAL)) == {"sequences", "batch", "split", "alive_frequency"}


def test_what_a_run_is_judged_on_is_of_its_evaluations_identity_and_never_of_its_own(tiny_model, tiny_text):
    run = make_run(tiny_model, tiny_text)
    rarer = replace(run, eval=replace(EVAL, alive_frequency=1e-5))
    share = replace(run, data=replace(run.data, validation_fraction=0.5))
    validation = replace(share, eval=replace(EVAL, split="validation"))
    assert {run_name(each) for each in (rarer, share, validation)} == {run_name(run)}
    assert len({evaluation_identity(each) for each in (run, rarer, share, validation)}) == 4
    assert len({pack_identity(each) for each in (run, rarer, share, validation)}) == 4
    assert reference_identity(rarer) == reference_identity(run)
    assert len({reference_identity(each) for each in (run, share, validation)}) == 3


def test_versions_of_training_and_of_evaluation_name_different_things(tiny_model, tiny_text, monkeypatch):
    run = make_run(tiny_model, tiny_text)
    before = run_name(run), evaluation_identity(run), reference_identity(run)
    monkeypatch.setattr(identity, "EVALUATION_VERSION", identity.EVALUATION_VERSION + 1)
    assert run_name(run) == before[0], "a corrected metric would train anew"
    assert evaluation_identity(run) != before[1] and reference_identity(run) != before[2]
    monkeypatch.undo()
    monkeypatch.setattr(identity, "TRAINING_VERSION", identity.TRAINING_VERSION + 1)
    assert run_name(run) != before[0]
    assert (evaluation_identity(run), reference_identity(run)) == before[1:], "other weights are compared on the same"


@pytest.mark.slow
def test_pruning_evaluates_finished_runs_again_and_trains_nothing(packed):
    """As they are they come out the same, bit for bit; each threshold costs one spliced pass a batch."""
    folder, runs, _ = packed
    thresholds = (0.02, 0.5, 1e9)
    again = [replace(run, eval=replace(EVAL, prune_below=thresholds)) for run in runs[1:4]]
    shared = {path: path.stat().st_mtime_ns for path in (folder / "shared").iterdir()}
    pack = execute(again, folder)
    assert pack.language_model is not None
    batches, calibration = EVAL.sequences // EVAL.batch, calibration_size(TRAIN, 32) // TRAIN.lm_batch
    assert pack.language_model.forwards == calibration + batches * (1 + len(again) * (1 + len(thresholds)))
    assert {path: path.stat().st_mtime_ns for path in (folder / "shared").iterdir()} == shared, "references are shared"
    for run in again:
        of_run = record.run_folder(folder, run)
        later = record_folder(of_run, evaluation_identity(run))
        assert later.name.startswith("evaluation-")
        before, after = whole_object(of_run / record.METRICS), whole_object(later / record.METRICS)
        assert before is not None and after is not None
        assert after["metrics"] == before["metrics"] and "pruned" not in before
        first, second = load_file(of_run / record.SEQUENCES), load_file(later / record.SEQUENCES)
        assert all(torch.equal(second[name], value) for name, value in first.items())
        assert [pruned["below"] for pruned in after["pruned"]] == [*thresholds]
        for metrics in (after["metrics"], *after["pruned"]):  # 372 tokens cannot show what fires on 1e-4 of them
            assert metrics["alive_fraction"] is None and metrics["dead_fraction"] is None
            assert metrics["gamma"] is not None or not metrics["l0"]
            assert (metrics["effective_width"] > 0) == (metrics["fired_fraction"] > 0) == (metrics["l0"] > 0)
        json.loads((later / record.METRICS).read_text(), parse_constant=pytest.fail)  # NaN is no JSON
        assert after["evaluation"]["alive"].startswith("not measured: 372 held-out tokens, and 100,000 are needed")
        unit = (after["training"]["d_in"] / after["training"]["mean_square_norm"]) ** 0.5
        assert [pruned["below_unscaled"] for pruned in after["pruned"]] == [below / unit for below in thresholds]
        l0 = [after["metrics"]["l0"], *(pruned["l0"] for pruned in after["pruned"])]
        assert sorted(l0, reverse=True) == l0 and l0[-1] == 0 < l0[1]
        assert l0[2] < l0[0], "no activation lies below the threshold: the test shows nothing"
        sums = second["pruned_l0"].sum(1) / second["tokens"].sum()
        assert sums.tolist() == pytest.approx(l0[1:])


@pytest.mark.slow
def test_another_evaluation_does_not_train_again(packed, monkeypatch):
    folder, runs, _ = packed
    validation = replace(runs[0].data, validation_fraction=0.5)
    again = replace(runs[0], data=validation, eval=EvalConfig(sequences=8, batch=4, split="validation"))
    assert run_name(again) == run_name(runs[0])
    of_run = record.run_folder(folder, again)
    weights = (of_run / "sae_weights.safetensors").stat().st_mtime_ns
    pack = execute([again], folder)
    assert pack.language_model is not None and pack.language_model.forwards < 60
    (found_there,) = of_run.glob("evaluation-*/metrics.json")
    (first, second) = (whole_object(path) for path in (of_run / record.METRICS, found_there))
    assert first is not None and second is not None and second["settings"]["eval"]["split"] == "validation"
    assert first["evaluation"]["tokens"] != second["evaluation"]["tokens"] and first["identity"] == second["identity"]
    for module in (identity, record):  # a metric is corrected
        monkeypatch.setattr(module, "EVALUATION_VERSION", 1_000)
    assert read_run(of_run.parent, {"run": of_run.name, "evaluation": evaluation_identity(again)}).record is None
    pack = execute([again], folder)
    assert pack.language_model is not None and pack.language_model.forwards < 60
    found = read_run(of_run.parent, {"run": of_run.name, "evaluation": evaluation_identity(again)}).record
    assert found is not None and found["evaluation_version"] == 1_000
    assert (of_run / "sae_weights.safetensors").stat().st_mtime_ns == weights
