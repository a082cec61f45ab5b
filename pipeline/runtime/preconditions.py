"""What a launch finds on this machine before anything is loaded: a folder to write to, and the tracker's package."""

import tempfile
from importlib.util import find_spec
from pathlib import Path

from pipeline.config.schema import Job, TrackerConfig
from pipeline.errors import UserError
from pipeline.storage.layout import runs_folder, shared_folder, sweep_folder


def check_circumstances(job: Job) -> None:
    """Raises: UserError, where the runs could not leave their records, or nothing could follow them."""
    sweeps_dir = Path(job.execution.sweeps_dir)
    runs = runs_folder(sweeps_dir)
    for folder in (sweeps_dir, runs, shared_folder(sweeps_dir), sweep_folder(sweeps_dir, job.sweep_name)):
        _check_free_for_a_folder(folder)
    if not runs.is_dir():
        _check_writable(sweeps_dir)
    check_tracker(job.tracker)


def _check_free_for_a_folder(path: Path) -> None:
    """Whether there is a folder, or nothing in the way of one, up to the first folder above it that exists."""
    for part in (path, *path.parents):
        try:
            if part.is_dir():
                return
            in_the_way = part.is_symlink() or part.exists()
        except OSError as error:  # no permission to look
            raise UserError(f"execution.sweeps_dir: {part} cannot be used ({error.strerror})") from error
        if in_the_way:
            raise UserError(f"execution.sweeps_dir: {part} is not a folder, which {path} needs")


def _check_writable(sweeps_dir: Path) -> None:
    """Create a folder where the first one would be, and remove it: permissions alone do not tell, as below /proc."""
    found = next(folder for folder in (sweeps_dir, *sweeps_dir.parents) if folder.is_dir())
    try:
        tempfile.TemporaryDirectory(dir=found, prefix=".sae-").cleanup()
    except OSError as error:
        why = f"no folder can be created in {found} ({error.strerror})"
        raise UserError(
            f"execution.sweeps_dir={sweeps_dir} cannot be used: {why}: make it writable, or name another folder"
        ) from error


def check_tracker(tracker: TrackerConfig) -> None:
    """A tracker's package bears its name."""
    if tracker.name == "none":
        return
    found = find_spec(tracker.name)
    if found is None or found.origin is None:  # a folder of that name, as wandb leaves one, is no package
        raise UserError(f"tracker={tracker.name} needs the package {tracker.name}: pip install {tracker.name}")
