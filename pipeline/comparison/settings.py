"""How the compared SAEs were trained, in a sentence: verdicts hold for these settings."""

import pandas as pd

from pipeline.analysis.frontier import as_floats

STEPS = "train.resample.steps"


def settings_line(runs: pd.DataFrame) -> str:
    """Model, text, length, learning rates, resampling and seeds of the finished runs; empty without the settings."""
    done = runs[runs["status"] == "done"]
    parts = [
        _setting(done, "model", "model {}"),
        _setting(done, "data.name", "text {}"),
        _setting(done, "train.steps", "{} training steps", ",.0f"),
        _setting(done, "train.batch", "{} activations per step", ",.0f"),
        _setting(done, "train.lr", "learning rate {}", "g"),
        _setting(done, "train.lr_decay", "decaying over the last {} steps", ",.0f"),
        _setting(done, "train.data_directions", "features {} of the way from random directions to the data's", "g"),
        _resampling(done),
        _setting(done, "seed", "seeds {}", "g", several=True),
    ]
    said = "; ".join(part for part in parts if part)
    return f"Trained with: {said}." if "training steps" in said else ""


def _setting(runs: pd.DataFrame, column: str, template: str, form: str = "", *, several: bool = False) -> str:
    """The one value; else the values by architecture.

    Args:
        form: of the numbers; names without it.
        several: all runs are expected to share several values, so these are listed without architectures.
    """
    if column not in runs or runs[column].isna().all():
        return ""
    by_arm = {str(arm): _listed(rows[column], form) for arm, rows in runs.groupby("architecture")}
    if set(by_arm.values()) == {"0"} and not several:  # switched off everywhere
        return ""
    if several or len(set(by_arm.values())) == 1:
        return template.format(_listed(runs[column], form, ", "))
    return template.format(", ".join(f"{values} ({arm})" for arm, values in by_arm.items()))


def _listed(values: pd.Series, form: str, separator: str = " and ") -> str:
    known = values.dropna()
    if not form:
        return separator.join(sorted(known.astype(str).unique()))
    return separator.join(format(value, form) for value in sorted(set(as_floats(known).tolist())))


def _resampling(runs: pd.DataFrame) -> str:
    """Whether dead features are re-initialised; every run's steps for that are a list, empty where there are none."""
    if STEPS not in runs or runs[STEPS].isna().all():
        return ""
    asked = ~runs[STEPS].astype(str).isin(["[]", "()", "nan"])
    if asked.all():
        return "dead features resampled"
    return "dead features resampled in some runs" if asked.any() else "dead features not resampled"
