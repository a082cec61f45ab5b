"""The sentence on how the compared SAEs were trained."""

from typing import Any

import pandas as pd

from pipeline.comparison.settings import settings_line


def runs(*rows: dict[str, Any]) -> pd.DataFrame:
    common = {
        "status": "done", "model": "toy@1", "data.name": "text", "train.steps": "5000", "train.batch": "256",
        "train.resample.steps": "[]", "train.lr_decay": "0",
    }  # fmt: skip
    return pd.DataFrame([common | row for row in rows])


def test_settings_that_are_shared_are_said_once_and_others_by_architecture() -> None:
    table = runs(
        {"architecture": "baseline", "train.lr": "0.008", "seed": 0},
        {"architecture": "baseline", "train.lr": "0.008", "seed": 1},
        {"architecture": "gated", "train.lr": "0.004", "seed": 0},
        {"architecture": "gated", "train.lr": "0.001", "seed": 10},
        {"architecture": "gated", "train.lr": "9", "seed": 2, "status": "failed"},
    )
    assert settings_line(table) == (
        "Trained with: model toy@1; text text; 5,000 training steps; 256 activations per step; learning rate 0.008 "
        "(baseline), 0.001 and 0.004 (gated); dead features not resampled; seeds 0, 1, 10."
    )


def test_resampling_is_said_where_it_was_asked_for() -> None:
    some = runs({"architecture": "gated", "train.resample.steps": "[100]"}, {"architecture": "baseline"})
    assert "; dead features resampled in some runs" in settings_line(some)
    assert settings_line(some[:1]).endswith("; dead features resampled.")


def test_a_table_without_settings_has_no_sentence() -> None:
    table = pd.DataFrame([{"status": "done", "architecture": "gated", "model": "m", "train.steps": None}])
    assert settings_line(table) == ""
