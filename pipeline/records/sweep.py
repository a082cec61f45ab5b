"""A sweep: the desired set of runs, and what of it is on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.schema import RunConfig
from pipeline.errors import UserError
from pipeline.records import record
from pipeline.records.finished import finished, read_failure
from pipeline.records.identity import evaluation_identity, run_name
from pipeline.storage.layout import checkpoints_folder
from pipeline.storage.reading import folder_fault
from pipeline.training.checkpoint import checkpoints


def unique(runs: Sequence[RunConfig]) -> list[RunConfig]:
    """Runs in order, each once: the same settings are the same run."""
    return list({run_name(run): run for run in runs}.values())


@dataclass(frozen=True)
class OnDisk:
    """What a run had come to when a launch looked at it."""

    status: str  # done, failed, begun (there is something to resume) or missing
    metrics: Mapping[str, Any] | None = None  # of one that is done
    failure: Mapping[str, Any] | None = None  # of one that failed


def on_disk(sweeps_dir: Path, run: RunConfig) -> OnDisk:
    """Read a run's record, its failure, or how far it was trained.

    Raises:
        UserError: something else lies where the run's folder is due.
    """
    folder = record.run_folder(sweeps_dir, run)
    if why := folder_fault(folder):
        raise UserError(f"{why}, and one is due there: move it away and give the same command again")
    if found := finished(folder, evaluation_identity(run)):
        return OnDisk("done", metrics=found["metrics"])
    if failure := read_failure(folder):
        return OnDisk("failed", failure=failure)
    begun = record.is_trained(folder) or bool(checkpoints(checkpoints_folder(folder)))
    return OnDisk("begun" if begun else "missing")
