"""Records on disk to a table: one row for every run that a sweep declares. Needs no model, no GPU and no torch."""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

FIRST = (
    "run", "sweep", "model", "site", "layer", "architecture", "d_in", "d_sae", "sparsity_coefficient", "seed", "status",
    "tokens", "l0", "loss_recovered", "loss_recovered_mean_ablation", "ce_clean", "ce_sae", "ce_zero", "ce_mean",
    "gamma", "dead_fraction", "fvu",
)  # fmt: skip
"""The columns that come first, in this order; all others follow by name."""
EXPECTED = ("reason", "alive_fraction", "evaluation_tokens", "architecture.expansion", "data.name", "evaluation.id")
"""Further columns that are always there, for frontiers and figures to find."""
MEASURED = {*FIRST[FIRST.index("l0") :], "alive_fraction"}
RENAMED = {"site.name": "site", "architecture.name": "architecture"}
RUNNING_SECONDS = 120.0
"""A run whose progress.json is older than this is no longer running."""


@dataclass(frozen=True)
class RunOnDisk:
    """What one declared run has left so far; None is a file that is absent."""

    entry: Mapping[str, Any]  # of the manifest: run, evaluation, settings
    record: dict[str, Any] | None
    failure: dict[str, Any] | None
    progress: dict[str, Any] | None
    trained: bool
    damaged: bool  # there is a metrics.json that cannot be read

    def is_running(self, now: float) -> bool:
        finished = self.record is not None or self.failure is not None
        return not finished and self.progress is not None and now - self.progress.get("time", 0.0) < RUNNING_SECONDS


def sweeps_on_disk(sweeps_dir: Path) -> list[str]:
    """Names of the sweeps that have a manifest."""
    return sorted(path.parent.name for path in sweeps_dir.glob("*/manifest.json"))


def read_sweep(sweeps_dir: Path, sweep: str, now: float | None = None) -> pd.DataFrame:
    """The table of one sweep, its runs in the order of the manifest.

    Args:
        now: seconds since the epoch, against which progress is old or young; the present by default.
    """
    manifest = _read(sweeps_dir / sweep / "manifest.json") or {}
    runs = [read_run(sweeps_dir / "runs", entry) for entry in manifest.get("runs", [])]
    moment = time.time() if now is None else now
    some_running = any(run.is_running(moment) for run in runs)
    return table([_row(run, sweep, status(run, moment, some_running)) for run in runs])


def read_run(folder_of_runs: Path, entry: Mapping[str, Any]) -> RunOnDisk:
    """Everything that aggregation wants from one run's folder; unreadable files are named on stderr."""
    folder = folder_of_runs / entry["run"]
    record, damaged = _read_record(folder, entry["evaluation"])
    if record is not None:
        return RunOnDisk(entry, record, None, None, trained=True, damaged=False)
    failure, progress = _read(folder / "failure.json"), _read(folder / "progress.json")
    return RunOnDisk(entry, None, failure, progress, (folder / "history.csv").is_file(), damaged)


def _read_record(folder: Path, evaluation: str) -> tuple[dict[str, Any] | None, bool]:
    """The record of one evaluation, and whether a file that might have been it is damaged."""
    damaged = False
    for path in (folder / "metrics.json", folder / f"evaluation-{evaluation}" / "metrics.json"):
        content = _read(path, parts=("settings", "identity", "evaluation", "metrics"))
        if content is not None and content["evaluation"].get("id") == evaluation:
            return content, False
        damaged |= content is None and path.is_file()
    return None, damaged


def _read(path: Path, parts: Sequence[str] = ()) -> dict[str, Any] | None:
    """A JSON object with the given parts; None if the file is absent, or damaged, which stderr then says.

    `pipeline.record` has a reader too, but importing it takes torch, and so longer than a whole aggregation.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        problem = str(error)
    else:
        lacking = [part for part in parts if not isinstance(content, dict) or not isinstance(content.get(part), dict)]
        if isinstance(content, dict) and not lacking:
            return content
        problem = f"it has no {lacking[0]}" if lacking else "it is no JSON object"
    print(f"{path} cannot be read ({problem}): taken as missing", file=sys.stderr)
    return None


def status(run: RunOnDisk, now: float, some_running: bool) -> str:
    """One of done, failed, running, waiting, missing."""
    if run.record is not None:
        return "done"
    if run.failure is not None:
        return "failed"
    if run.is_running(now):
        return "running"
    return "waiting" if some_running and not run.damaged else "missing"


def _reason(run: RunOnDisk, state: str) -> str | None:
    """Why a run is failed or missing, in a few words."""
    if run.failure is not None:
        kind, why = run.failure.get("error", "error"), run.failure.get("reason", "")
        return f"{kind} at step {run.failure.get('step', '?')}" + (f": {why}" if why and why != kind else "")
    if state != "missing":
        return None
    if run.damaged:
        return "its metrics.json cannot be read"
    if run.trained:
        return "trained, but not evaluated as this sweep asks"
    if run.progress is not None:
        return f"stopped after step {run.progress.get('step', '?')} of {run.progress.get('steps', '?')}"
    return "not begun"


def _row(run: RunOnDisk, sweep: str, state: str) -> dict[str, Any]:
    record = run.record or {}
    settings = flatten(record.get("settings", run.entry["settings"]))
    return {
        **{RENAMED.get(path, path): value for path, value in settings.items()},
        **{name: run.entry.get(name) for name in ("d_in", "d_sae")},
        **_scalars(record.get("training", {})),
        **_scalars(record.get("metrics", {})),
        **flatten(record.get("evaluation", {"id": run.entry["evaluation"]}), "evaluation."),
        "numerics_version": record.get("numerics_version"),
        **{f"provenance.{name}": value for name, value in record.get("provenance", {}).get("git", {}).items()},
        "run": run.entry["run"], "sweep": sweep, "model": _model(run, settings), "status": state,
        "reason": _reason(run, state),
    }  # fmt: skip


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
    """Whole numbers stay whole beside gaps; other numbers, and all that is measured, get NaN there."""
    kinds = {type(value) for value in values if value is not None}
    if name in MEASURED:
        return pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").astype(float)
    if kinds == {int}:
        return pd.array(values, dtype="Int64")
    if kinds <= {int, float}:
        return [math.nan if value is None else float(value) for value in values]
    return pd.Series(values, dtype=object)
