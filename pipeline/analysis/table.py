"""Records on disk to a table: one row for every run that a sweep declares. Needs no model, no GPU and no torch."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.records.finished import read_attempts
from pipeline.records.status import RunOnDisk, read_run, read_sweep_on_disk, reason
from pipeline.storage.layout import run_folder, runs_folder

FIRST = (
    "run", "sweep", "model", "site", "layer", "architecture", "d_in", "d_sae", "sparsity_coefficient", "seed", "status",
    "tokens", "l0", "loss_recovered", "loss_recovered_mean_ablation", "ce_clean", "ce_sae", "ce_zero", "ce_mean",
    "gamma", "dead_fraction", "fvu",
)  # fmt: skip
"""The columns that come first, in this order; all others follow by name."""
EXPECTED = (
    "reason", "alive_fraction", "fired_fraction", "effective_width", "evaluation_tokens", "architecture.expansion",
    "data.name", "evaluation.id", "evaluation.clean", "evaluation.ablated", "training_seconds", "training_flops",
    "dense_flops",
)  # fmt: skip
"""Further columns that are always there, for frontiers and figures to find."""
MEASURED = {
    *FIRST[FIRST.index("l0") :], "alive_fraction", "fired_fraction", "training_seconds", "training_flops",
    "dense_flops",
}  # fmt: skip
PRUNE_BELOW = "eval.prune_below"
PLACE = ("host", "hardware", "device", "threads", "finished")
"""What the table says of where a run's last attempt was trained."""
DEFAULTS = {"model.layer"}
"""Settings that only another setting's default follows from: the run's layer is `layer`."""
RENAMED = {"site.name": "site", "architecture.name": "architecture"}


def read_sweep(sweeps_dir: Path, sweep: str, now: float | None = None) -> pd.DataFrame:
    """The table of one sweep, its runs in the order of the manifest.

    Args:
        now: seconds since the epoch, against which progress is old or young; the present by default.
    """
    return table(
        [_row(sweeps_dir, run, sweep, state) for run, state in read_sweep_on_disk(sweeps_dir, sweep, now).runs]
    )


def read_pruned(sweeps_dir: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per finished run and threshold: the run's row with the metrics as pruned.

    Args:
        runs: as `read_sweep` gives them. Its columns are the result's, where `eval.prune_below` is the one threshold,
            and `place` the number of that threshold among the run's.
    """
    rows = []
    asked = runs[runs["status"].eq("done") & runs.get(PRUNE_BELOW, pd.Series(index=runs.index, dtype=object)).notna()]
    for row in asked.to_dict("records"):
        entry = {"run": row["run"], "evaluation": row["evaluation.id"]}
        record = read_run(runs_folder(sweeps_dir), entry).record or {}
        for place, pruned in enumerate(record.get("pruned", [])):
            rows.append({**row, **_scalars(pruned), PRUNE_BELOW: pruned["below"], "place": place})
    names = [*map(str, runs), "below", "below_unscaled", "place"]
    return pd.DataFrame({name: _column(name, [row.get(name) for row in rows]) for name in names}, columns=names)


def _row(sweeps_dir: Path, run: RunOnDisk, sweep: str, state: str) -> dict[str, Any]:
    record = (run.record or {}) if run.is_done else {}
    settings = flatten(record.get("settings", run.entry["settings"]))
    return {
        **{RENAMED.get(path, path): value for path, value in settings.items() if path not in DEFAULTS},
        **{name: run.entry.get(name) for name in ("d_in", "d_sae")},
        **_scalars(record.get("training", {})),
        **_scalars(record.get("metrics", {})),
        **flatten(record.get("evaluation", {"id": run.entry["evaluation"]}), "evaluation."),
        **{name: record.get(name) for name in ("training_version", "evaluation_version")},
        **_provenance(record),
        **(_execution(run_folder(sweeps_dir, run.entry["run"])) if record else {}),
        "run": run.entry["run"], "sweep": sweep, "model": _model(run, settings), "status": state,
        "reason": reason(run, state),
    }  # fmt: skip


def _provenance(record: Mapping[str, Any]) -> dict[str, Any]:
    """Commit, versions of Python and of packages, and what names the training text."""
    found = flatten(record.get("provenance", {}), "provenance.")
    named = {name.replace("provenance.git.", "provenance."): value for name, value in found.items()}
    data = record.get("identity", {}).get("data")
    return named | ({} if data is None else {"identity.data": json.dumps(data)})


def _execution(folder: Path) -> dict[str, Any]:
    """Seconds of training and peak memory over all attempts, and where the last one ran."""
    attempts = read_attempts(folder)
    seconds = [attempt["training_seconds"] for attempt in attempts if "training_seconds" in attempt]  # each goes on
    last = {f"execution.{name}": attempts[-1].get(name) for name in PLACE} if attempts else {}
    peaks = [attempt["peak_memory_bytes"] for attempt in attempts if "peak_memory_bytes" in attempt]
    memory = {"execution.peak_memory_bytes": max(peaks)} if peaks else {}
    return last | memory | {"training_seconds": max(seconds, default=math.nan)}


def _model(run: RunOnDisk, settings: Mapping[str, Any]) -> str:
    """Name and revision (or digest), as the record states it; without one, what the manifest knows."""
    if run.record is not None:
        return str(run.record["identity"]["model"])
    if "model" in run.entry:
        return str(run.entry["model"])
    hub, revision = settings.get("model.hub_id"), settings.get("model.revision")
    return f"{hub}@{revision}" if hub else str(settings.get("model.name"))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of settings by path, as on the command line: train.lr; lists as JSON."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not isinstance(value, Mapping | list)}


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows that may lack columns as one table with typed columns."""
    others = {name for row in rows for name in row} | set(EXPECTED)
    names = [*FIRST, *sorted(others - set(FIRST))]
    return pd.DataFrame({name: _column(name, [row.get(name) for row in rows]) for name in names}, columns=names)


def _column(name: str, values: list[Any]) -> Any:
    """Whole numbers stay whole next to gaps; other numbers, and all that is measured, get NaN there."""
    kinds = {type(value) for value in values if value is not None}
    if name in MEASURED:
        return pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").astype(float)
    if kinds == {int}:
        return pd.array(values, dtype="Int64")
    if kinds <= {int, float}:
        return [math.nan if value is None else float(value) for value in values]
    return pd.Series(values, dtype=object)
