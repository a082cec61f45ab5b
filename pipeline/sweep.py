"""A sweep: the desired set of runs, and what of it is on disk."""

from collections.abc import Sequence
from pathlib import Path

from pipeline import record
from pipeline.config import RunConfig
from pipeline.identity import evaluation_identity, run_name


def unique(runs: Sequence[RunConfig]) -> list[RunConfig]:
    """Runs in order, each once: the same settings are the same run."""
    return list({run_name(run): run for run in runs}.values())


def status_on_disk(sweeps_dir: Path, run: RunConfig) -> str:
    """done, failed, begun (there is something to resume) or missing."""
    folder = record.run_folder(sweeps_dir, run)
    if record.read_record(folder, evaluation_identity(run)) is not None:
        return "done"
    if record.read_json(folder / record.FAILURE) is not None:  # half of one says nothing: the run is tried again
        return "failed"
    begun = record.is_trained(folder) or any((folder / "checkpoints").glob("step-*.json"))
    return "begun" if begun else "missing"
