"""A sweep: the desired set of runs, and what of it is on disk."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import record
from pipeline.config import Job, RunConfig, settings
from pipeline.files import write_sealed
from pipeline.identity import evaluation_identity, model_identity, run_name
from pipeline.sites import d_in, d_sae


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


def write_manifest(jobs: Sequence[Job], command: str) -> Path:
    """sweeps/<sweep>/manifest.json, the desired state. Ad hoc runs gather; a named sweep is as it was last declared."""
    job = jobs[0]
    path = Path(job.execution.sweeps_dir) / job.sweep_name / "manifest.json"
    entries = {run_name(j.run): _entry(j.run) for j in jobs}
    if job.sweep_name == "adhoc":
        earlier = record.read_json(path) or {"runs": []}
        entries = {entry["run"]: entry for entry in earlier["runs"]} | entries
    content = {"sweep": job.sweep_name, "command": command, "time": time.time(), "runs": list(entries.values())}
    write_sealed(path, content)
    return path


def _entry(run: RunConfig) -> dict[str, Any]:
    return {
        "run": run_name(run), "evaluation": evaluation_identity(run), "model": model_identity(run.model),
        "d_in": d_in(run), "d_sae": d_sae(run), "settings": settings(run),
    }  # fmt: skip
