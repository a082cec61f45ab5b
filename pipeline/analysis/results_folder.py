"""Where results go: checked before anything is computed, so that nothing is replaced or half written by mistake."""

import csv
import os
import tempfile
from pathlib import Path

from pipeline.errors import UserError
from pipeline.records.status import declared_runs, sweeps_on_disk
from pipeline.storage.places import RESULTS


def check_writable(folder: Path) -> None:
    """Check that files can be written below a folder that may not exist yet; nothing is left behind.

    Raises:
        UserError: something else is in its place, or the system refuses to make a folder there.
    """
    whole = Path(os.path.normpath(folder.absolute()))
    there = next(path for path in (whole, *whole.parents) if os.path.lexists(path))
    try:
        if not there.is_dir():
            raise UserError(f"results_dir: {there} is not a folder; expected a folder that can be written")
        with tempfile.TemporaryDirectory(prefix=".check-", dir=there) as made:
            (Path(made) / whole.relative_to(there)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise UserError(f"results_dir: {folder!s:.200} cannot be written ({why}); give a folder that can be") from error


def check_name(source: Path, sweeps_dir: Path, results_dir: Path) -> None:
    """Raises UserError where the results of a table would lie in no folder of their own, or replace a sweep's."""
    if source.stem in {"", ".", ".."}:
        raise UserError(
            f"source={source}: its results would lie outside of a folder of their own; give it another name"
        )
    if source.stem not in sweeps_on_disk(sweeps_dir):
        return
    results = results_dir / source.stem
    if results_dir.resolve() == RESULTS.resolve() or _are_of_sweep(results, sweeps_dir):
        raise UserError(
            f"source={source}: {results} is for the results of the sweep {source.stem}; rename the file or give "
            "results_dir=FOLDER, another one"
        )


def _are_of_sweep(results: Path, sweeps_dir: Path) -> bool:
    """Whether results that are there show runs of the sweep of their name."""
    try:
        with (results / "runs.csv").open(encoding="utf-8", newline="") as file:
            shown = {row.get("run") for row in csv.DictReader(file)}
    except (OSError, ValueError, csv.Error):
        return False
    return any(entry["run"] in shown for entry in declared_runs(sweeps_dir, results.name))
