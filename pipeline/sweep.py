"""A sweep: the desired set of runs, and what of it is on disk."""

from collections.abc import Sequence
from pathlib import Path

from pipeline import record
from pipeline.config import RunConfig
from pipeline.finished import FAILURE, OF_FAILURE, finished
from pipeline.identity import evaluation_identity, run_name
from pipeline.reading import whole_object
from pipeline.training.checkpoint import checkpoints


def unique(runs: Sequence[RunConfig]) -> list[RunConfig]:
    """Runs in order, each once: the same settings are the same run."""
    return list({run_name(run): run for run in runs}.values())


def status_on_disk(sweeps_dir: Path, run: RunConfig) -> str:
    """done, failed, begun (there is something to resume) or missing."""
    folder = record.run_folder(sweeps_dir, run)
    if finished(folder, evaluation_identity(run)) is not None:
        return "done"
    if whole_object(folder / FAILURE, OF_FAILURE) is not None:  # half of one says nothing: the run is tried again
        return "failed"
    begun = record.is_trained(folder) or bool(checkpoints(folder / "checkpoints"))
    return "begun" if begun else "missing"
