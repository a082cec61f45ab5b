"""Compares every checksum of a sweep's files: what `status.py verify=true` prints."""

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DamagedFile
from pipeline.records.finished import damages, read_all_again, training_damages
from pipeline.records.status import RunOnDisk, SweepOnDisk
from pipeline.storage.layout import PACKS, run_folder, sweep_folder
from pipeline.storage.reading import folder_fault, read_bytes


def verify(sweeps_dir: Path, sweep: SweepOnDisk) -> list[str]:
    """One line per damaged file.

    JSON files that cannot be read at all are also reported on stderr, by the function that read them first.
    """
    read_all_again()
    found = [line for run, _ in sweep.runs for line in _of_run(run_folder(sweeps_dir, run.entry["run"]), run)]
    return [*found, *_of_packs(sweep_folder(sweeps_dir, sweep.name) / PACKS)]


def _of_run(folder: Path, run: RunOnDisk) -> Iterator[str]:
    if folder_fault(folder):
        yield f"{run.damaged}: move it away, and the command that launches it trains the run"
        return
    if run.damaged:
        yield f"{folder.name}  {run.damaged}: the command that launches it evaluates the run again"
    for damage in damages(folder, run.record, "all") if run.record else training_damages(folder):
        yield f"{folder.name}  {damage.path.name}: {damage}"


def _of_packs(folder: Path) -> Iterator[str]:
    """A pack's file is named by its content."""
    from pipeline.storage.files import short_hash

    for path in sorted(folder.glob("*.json")):
        try:
            whole = short_hash(json.loads(read_bytes(path))) == path.stem
        except (DamagedFile, ValueError, RecursionError):
            whole = False
        if not whole:
            yield f"{PACKS}/{path.name} is damaged: the command that launches the sweep writes it again"
