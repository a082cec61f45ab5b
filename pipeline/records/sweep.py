"""A sweep: the desired set of runs, and what of it is on disk."""

from collections.abc import Sequence
from pathlib import Path

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


def status_on_disk(sweeps_dir: Path, run: RunConfig) -> str:
    """done, failed, begun (there is something to resume) or missing.

    Raises:
        UserError: something else lies where the run's folder is due.
    """
    folder = record.run_folder(sweeps_dir, run)
    if why := folder_fault(folder):
        raise UserError(f"{why}, and one is due there: move it away and give the same command again")
    if finished(folder, evaluation_identity(run)) is not None:
        return "done"
    if read_failure(folder) is not None:
        return "failed"
    begun = record.is_trained(folder) or bool(checkpoints(checkpoints_folder(folder)))
    return "begun" if begun else "missing"
