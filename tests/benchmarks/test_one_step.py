"""Single steps against float64: sound ones differ by rounding, and a wrong one is seen."""

import pytest

from benchmarks import one_step
from benchmarks.three_ways import DENSE, SPARSE
from pipeline.sae.sparse_step import selection
from pipeline.training import optimizer

pytestmark = pytest.mark.slow


@pytest.fixture
def common(tiny_model, tiny_text, monkeypatch):
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 1.0})  # so short a training has many active features
    return [
        "model=local", f"model.path={tiny_model}", "model.context=32", "data=files", f"data.path={tiny_text}",
        "site=mlp_out", "layer=1", "architecture.expansion=4", "train.steps=40", "train.batch=64", "train.block=2048",
        "train.lm_batch=4", "train.calibration=300", "train.lr_warmup=5", "eval.sequences=4", "eval.batch=4",
    ]  # fmt: skip


def test_sound_steps_differ_by_rounding(common):
    rows = one_step.table_of(one_step.measure(common, 0, 10)).rows
    assert {(row["architecture"], row["way"]) for row in rows} == {
        (arm, way) for arm in ("gated", "baseline") for way in (SPARSE, DENSE)
    }
    assert len(rows) == 2 * (6 + 4) and {row["steps"] for row in rows} == {4}
    assert max(row["gradient"] for row in rows) < 1e-5
    assert max(row["movement"] for row in rows) < 1e-2 and max(abs(row["along"]) for row in rows) < 1e-4


def test_a_sparse_step_that_is_too_long_is_seen(common, monkeypatch):
    right = optimizer.adam_deferred

    def longer(*arguments):
        right(*arguments[:9], 1.01 * arguments[9], *arguments[10:])

    monkeypatch.setattr(optimizer, "adam_deferred", longer)
    rows = one_step.table_of(one_step.measure(common, 0, 10)).rows
    along = {(row["parameter"], row["way"]): row["along"] for row in rows}
    assert along["W_enc", SPARSE] == pytest.approx(0.01, rel=0.01)
    assert along["W_enc", DENSE] == pytest.approx(0.0, abs=1e-4)
