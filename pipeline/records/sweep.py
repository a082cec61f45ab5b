"""The runs of a launch, and what is on disk of each."""

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
from pipeline.storage.reading import DENIED, folder_fault
from pipeline.training.checkpoint import checkpoints


def unique(runs: Sequence[RunConfig]) -> list[RunConfig]:
    """Runs in order, without duplicates: the same settings are the same run."""
    return list({run_name(run): run for run in runs}.values())


@dataclass(frozen=True)
class OnDisk:
    """A run's state when a launch read it."""

    status: str  # done, failed, begun (there is something to resume) or missing
    metrics: Mapping[str, Any] | None = None  # of one that is done
    failure: Mapping[str, Any] | None = None  # of one that failed


def on_disk(sweeps_dir: Path, run: RunConfig) -> OnDisk:
    """Read a run's record, its failure, or how far it was trained.

    Raises:
        UserError: something else is in the place of the run's folder.
    """
    folder = record.run_folder(sweeps_dir, run)
    if why := folder_fault(folder):
        advice = "make it accessible" if DENIED in why else "move it away"
        raise UserError(f"{why}: {advice} and give the same command again")
    if found := finished(folder, evaluation_identity(run)):
        return OnDisk("done", metrics=found["metrics"])
    if failure := read_failure(folder):
        return OnDisk("failed", failure=failure)
    begun = record.is_trained(folder) or bool(checkpoints(checkpoints_folder(folder)))
    return OnDisk("begun" if begun else "missing")
