"""What one task does: read its pack file and train it. `python -m pipeline.launching.worker PACK_FILE` here, a job of
submitit's on Slurm.
"""

import argparse
import json
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import Interrupted, UserError
from pipeline.runtime import environment, streams  # noqa: F401  environment: before torch
from pipeline.runtime.signals import STOPPING, StopFlag, stop_on_signal
from pipeline.storage.files import remove, write_json

STOPPED, USERS_TO_FIX = 130, 2
"""Exit codes of a task on this machine: it was told to stop; only the user can fix what stopped it."""
KILL_SECONDS = 900.0
"""How long a task that has saved its checkpoints waits for the kill that follows SIGTERM."""


def main() -> None:
    """A task on this machine; its exit code is 0, one of those above, or 1."""
    parser = argparse.ArgumentParser(description="Train one pack of a sweep.")
    parser.add_argument("pack", type=Path, help="the file of a pack, in its sweep's folder")
    parser.add_argument("outcome", type=Path, help="file for the reason, if the pack cannot be trained")
    parser.add_argument("--sharing", type=json.loads, help="the processes that share blocks of activations, as JSON")
    arguments = parser.parse_args()
    streams.prepare()
    _end_with_parent()
    remove(arguments.outcome)
    with stop_on_signal(print, (*STOPPING, signal.SIGUSR2)) as stop:
        try:
            train(arguments.pack, arguments.outcome, stop, arguments.sharing)
        except Interrupted:
            sys.exit(STOPPED)
        except Exception as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(USERS_TO_FIX if isinstance(error, UserError) else 1)


def train(pack_file: Path, outcome: Path, stop: StopFlag, sharing: dict[str, Any] | None = None) -> None:
    """Train a pack. If the whole pack fails, `outcome` says why, for the launcher to read."""
    from pipeline.launching.tasks import (
        Outcome,
        read_pack,
    )  # imported here, so that signals are handled while it loads
    from pipeline.monitoring.progress import Progress
    from pipeline.pack import Pack, SharingGroup

    try:
        pack = read_pack(pack_file)
        with Progress(pack.runs) as progress:
            group = SharingGroup(**sharing) if sharing else None
            Pack(pack.runs, pack.execution, progress, stop, tracker=pack.tracker, sharing=group).execute()
    except Interrupted:
        raise
    except Exception as error:
        traceback.print_exc()
        write_json(outcome, asdict(Outcome(type(error).__name__, str(error), isinstance(error, UserError))))
        raise


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the launcher dies: an orphan would train on unnoticed."""
    import ctypes

    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        return  # not Linux


@dataclass(frozen=True)
class SlurmTask:
    """The callable that submitit pickles: two paths only. Checkpoints are on disk, not in the pickle."""

    pack: str
    outcomes: str

    def __call__(self) -> None:
        """Train. On SIGUSR2, save and let submitit requeue this job; on SIGTERM, save and wait for the kill.

        Slurm would take an exit as final, and a requeue would undo an scancel: hence the wait.
        """
        from pipeline.storage.lease import own_job

        streams.prepare()
        outcome = Path(self.outcomes, f"{own_job()}.json")
        remove(outcome)
        requeue: Any = signal.getsignal(signal.SIGUSR2)  # submitit's
        with stop_on_signal(print, (signal.SIGTERM, signal.SIGUSR2)) as stop:
            try:
                train(Path(self.pack), outcome, stop)
            except Interrupted:
                print(f"saved after signal {stop.signal}", flush=True)
                if stop.signal != signal.SIGUSR2:
                    time.sleep(KILL_SECONDS)
                    raise
            else:
                return
        requeue(signal.SIGUSR2, None)

    def checkpoint(self) -> Any:
        """What submitit runs when this job starts again: the same callable."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


if __name__ == "__main__":
    main()
