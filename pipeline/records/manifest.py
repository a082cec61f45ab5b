"""sweeps/<sweep>/manifest.json: the runs that a sweep declares, and which of them a later command may replace."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.config.schema import Job, RunConfig, settings
from pipeline.errors import UserError
from pipeline.language_model.sites import d_in, d_sae
from pipeline.records.identity import (
    EVALUATION_VERSION,
    TRAINING_VERSION,
    evaluation_identity,
    model_identity,
    run_name,
)
from pipeline.records.status import OF_ENTRY, holds
from pipeline.storage.files import write_checksummed
from pipeline.storage.layout import MANIFEST, sweep_folder
from pipeline.storage.reading import whole_object

ADHOC = "adhoc"
"""The sweep of single runs: it keeps all of them."""
Entry = dict[str, Any]


def declare(jobs: Sequence[Job], command: str, extend: bool = False) -> Path:
    """Write the manifest: the runs of these jobs, after the earlier ones where these are kept.

    Raises:
        UserError: runs that were declared before would no longer be.
    """
    path = _path(jobs[0])
    entries = declared(jobs, extend)
    content = {
        "sweep": jobs[0].sweep_name, "command": command, "time": time.time(), "version": TRAINING_VERSION,
        "runs": entries,
    }  # fmt: skip
    write_checksummed(path, content)
    return path


def declared(jobs: Sequence[Job], extend: bool = False) -> list[Entry]:
    """The entries of the new manifest. Raises: as `declare`."""
    new = {run_name(job.run): _entry(job.run, TRAINING_VERSION, EVALUATION_VERSION) for job in jobs}
    earlier = _earlier(_path(jobs[0]))
    old: list[Entry] = earlier["runs"]
    if earlier.get("version") == TRAINING_VERSION:
        left = [entry for entry in old if entry["run"] not in new]
    else:
        left = not_among(old, new.values())
    if left and not extend and jobs[0].sweep_name != ADHOC:
        name = jobs[0].sweep_name
        raise UserError(
            f"sweep_name={name} has {len(left)} runs that this command would drop, for example {left[0]['run']}: add "
            f"extend=true to keep them, or another sweep_name=NAME"
        )
    return [*left, *new.values()]


def not_among(old: Sequence[Entry], new: Iterable[Entry]) -> list[Entry]:
    """Old entries whose settings no new entry has, for manifests of another version: the same runs had other names.

    Settings that only one of the two versions has are not compared, and neither is the evaluation.
    """
    olds, news = [_flat(e["settings"]) for e in old], [_flat(e["settings"]) for e in new]
    both = {key for flat in olds for key in flat} & {key for flat in news for key in flat}
    there = {_common(flat, both) for flat in news}
    return [entry for entry, flat in zip(old, olds, strict=True) if _common(flat, both) not in there]


def _path(job: Job) -> Path:
    return sweep_folder(Path(job.execution.sweeps_dir), job.sweep_name) / MANIFEST


def _earlier(path: Path) -> dict[str, Any]:
    """The manifest on disk; a damaged one declares nothing, is reported, and is written again."""
    found = whole_object(path, {"runs": list})
    return found if found and all(holds(entry, OF_ENTRY) for entry in found["runs"]) else {"runs": []}


@cache
def _entry(run: RunConfig, *_versions: int) -> Entry:
    """Cached: a launch asks before and after it takes the lease on the sweep's folder."""
    return {
        "run": run_name(run), "evaluation": evaluation_identity(run), "model": model_identity(run.model),
        "d_in": d_in(run), "d_sae": d_sae(run), "settings": settings(run),
    }  # fmt: skip


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif prefix != "eval.":
            flat[prefix + key] = value
    return flat


def _common(flat: Mapping[str, Any], keys: Iterable[str]) -> str:
    return json.dumps({key: flat[key] for key in keys if key in flat}, sort_keys=True)
