"""Sparse against dense training: sound steps hold the bars, and a sparse step that loses something misses them."""

from dataclasses import replace

import pytest
import torch

from benchmarks import whole_training
from benchmarks.held_out import METRICS, draws, metrics
from benchmarks.three_ways import DENSE, REORDERED, SPARSE, Setting, held_out_sums, reordered, train
from pipeline.activations.blocks import Block, StreamShape
from pipeline.evaluation.evaluate import metrics_of
from pipeline.sae.sparse_step import selection, selectors

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole_training")]  # one worker trains for all of them

SEEDS, ARM = (0, 1, 2, 3), "gated"


@pytest.fixture(scope="module", autouse=True)
def sparse_from_the_start():
    """So short a training has many active features."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "SPARSE_BELOW", {"cpu": 1.0})
        yield


@pytest.fixture(scope="module")
def common(tiny_model, tiny_text):
    return [
        "model=local", f"model.path={tiny_model}", "model.context=32", "data=files", f"data.path={tiny_text}",
        "site=mlp_out", "layer=1", "architecture.expansion=4", "train.steps=60", "train.batch=64", "train.block=2048",
        "train.lm_batch=4", "train.calibration=300", "train.lr_warmup=5", "eval.sequences=16", "eval.batch=4",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def setting(common):
    return Setting.of(whole_training.runs(common, 0)[0])


@pytest.fixture(scope="module")
def trainers(common, setting):
    return train(setting, whole_training.runs(common, 0))


def worst(found):
    rows = whole_training.held_out_table(found).rows
    return max(row["over_allowed"] for row in rows)


@pytest.mark.parametrize("length", [(*whole_training.WHOLE, *whole_training.ALL_TEXT), whole_training.QUICK])
def test_what_the_command_trains_can_be_trained(length):
    made = whole_training.runs([*whole_training.SITE_AND_RATE, *length], 3)
    assert [(run.architecture.name, run.seed, run.site.name) for run in made] == [
        ("gated", 3, "mlp_out"), ("baseline", 3, "mlp_out")
    ]  # fmt: skip


def test_the_three_ways_differ_as_they_say(trainers):
    sparse, turned, dense = (trainers[way, ARM] for way in (SPARSE, REORDERED, DENSE))
    assert (sparse.sparse_steps, turned.sparse_steps, dense.sparse_steps) == (60, 60, 0)
    for other in (turned, dense):  # another rounding, and no more than that after so few steps
        assert not torch.equal(other.sae.W_dec, sparse.sae.W_dec)
        assert torch.allclose(other.sae.W_dec, sparse.sae.W_dec, atol=0.05)


def test_reordered_batches_have_the_same_rows():
    x = torch.arange(24.0).view(12, 2)
    block = Block(0, StreamShape(5, 1, 4, 3), {"hook": x})
    for step in range(3):
        assert torch.equal(reordered(block).batch("hook", step), block.batch("hook", step).flip(0))


def test_metrics_are_the_pipeline_s(setting, trainers):
    sums = held_out_sums(setting, trainers)[SPARSE, ARM]
    found = metrics(sums, setting.references, setting.hook, draws(setting.references.document, 5))
    right = metrics_of(sums, setting.references, setting.hook, 1e-3)
    right["ce_added"] = right["ce_sae"] - right["ce_clean"]
    assert {name: float(found[name][0]) for name in METRICS} == pytest.approx({name: right[name] for name in METRICS})


def test_metrics_of_drawn_documents_are_those_of_their_contexts(setting, trainers):
    sums = held_out_sums(setting, trainers)[SPARSE, ARM]
    drawn = draws(setting.references.document, 3)
    repeated = torch.repeat_interleave(torch.arange(drawn.shape[1]), drawn[2].long())
    taken = {name: each if name in {"feature_counts", "x_sum"} else each[repeated] for name, each in sums.items()}
    references = replace(
        setting.references, ce_clean=setting.references.ce_clean[repeated],
        ce_zero={setting.hook: setting.references.ce_zero[setting.hook][repeated]},
        ce_mean={setting.hook: setting.references.ce_mean[setting.hook][repeated]},
        predictions=setting.references.predictions[repeated],
    )  # fmt: skip
    right = metrics_of(taken, references, setting.hook, 1e-3)
    found = metrics(sums, setting.references, setting.hook, drawn)
    for name in ("loss_recovered", "l0", "gamma"):
        assert float(found[name][2]) == pytest.approx(right[name])


def test_documents_are_drawn_whole_and_as_many_as_there_are():
    document = torch.tensor([7, 7, 3, 9, 9, 9])
    drawn = draws(document, 50)
    assert torch.equal(drawn[0], torch.ones(6, dtype=torch.float64))
    assert torch.equal(drawn[:, 0], drawn[:, 1]) and torch.equal(drawn[:, 3], drawn[:, 5])
    assert (drawn[:, [0, 2, 3]].sum(1) == 3).all() and drawn.std(0).min() > 0


def test_sound_steps_hold_the_bars(common):
    found = whole_training.measure(common, SEEDS, replicates=10)
    assert worst(found) <= 1
    assert max(row["sparse_dense"] for row in whole_training.curves_table(found).rows) <= 1


def test_a_sparse_step_that_loses_its_smallest_pairs_is_seen(common, monkeypatch):
    right = selectors.select_active

    def losing(products, threshold, *precision):
        return right(products, threshold + 0.2, *precision)

    monkeypatch.setattr(selectors, "select_active", losing)
    assert worst(whole_training.measure(common, SEEDS, replicates=10)) > 1
