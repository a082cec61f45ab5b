"""From a list of jobs to records on disk: check everything, skip what is done, train the rest pack by pack."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline import record
from pipeline.config import Job, RunConfig
from pipeline.execution import choose_device
from pipeline.progress import Progress
from pipeline.results_table import print_results
from pipeline.sites import d_sae
from pipeline.sweep import packs, status_on_disk, unique, write_manifest


def launch(jobs: Sequence[Job], most: int, plan_only: bool = False) -> bool:
    """Train what these jobs ask for and is not on disk; returns whether all of it is there at the end.

    Args:
        most: runs in one pack at most.
        plan_only: print what would be done, with its cost, and train nothing.
    """
    runs = unique([job.run for job in jobs])
    for run in runs:
        d_sae(run)  # fails early: a layer or hook that the model lacks
    choose_device(jobs[0].execution)
    if plan_only:
        from pipeline.plan import print_plan

        print_plan(jobs, packs(_wanted(jobs, runs), most))
        return True
    write_manifest(jobs, shlex.join(sys.argv))
    wanted = _wanted(jobs, runs)
    with Progress(wanted) as progress:
        _say_what_is_there(jobs, runs, wanted, progress)
        with _stop_on_signal(progress) as stop:
            _execute(jobs[0], packs(wanted, most), progress, stop)
    return print_results(Path(jobs[0].execution.sweeps_dir), runs)


def _execute(job: Job, packed: list[list[RunConfig]], progress: Progress, stop: threading.Event) -> None:
    from pipeline.pack import Pack  # imports torch and the language model's libraries

    for number, runs in enumerate(packed, 1):
        progress.say(f"pack {number} of {len(packed)}: {len(runs)} runs from one activation stream")
        Pack(runs, job.execution, progress, stop, tracker=job.tracker).execute()


def _wanted(jobs: Sequence[Job], runs: Sequence[RunConfig]) -> list[RunConfig]:
    execution = jobs[0].execution
    skipped = {"done"} if execution.retry_failed else {"done", "failed"}
    return [run for run in runs if status_on_disk(Path(execution.sweeps_dir), run) not in skipped]


def _say_what_is_there(
    jobs: Sequence[Job], runs: Sequence[RunConfig], wanted: Sequence[RunConfig], progress: Progress
) -> None:
    sweeps_dir = Path(jobs[0].execution.sweeps_dir)
    found = [status_on_disk(sweeps_dir, run) for run in runs]
    count = {status: found.count(status) for status in ("done", "failed", "begun", "missing")}
    parts = [f"{count['done']} done", f"{count['begun']} to resume", f"{count['missing']} to train"]
    progress.say(f"{jobs[0].sweep_name}: {len(runs)} runs: {', '.join(parts)}, {count['failed']} failed before")
    for run in runs:
        failure = record.read_json(record.run_folder(sweeps_dir, run) / record.FAILURE)
        if run not in wanted and failure:
            progress.note(run, f"failed before ({failure['reason']}); execution.retry_failed=true tries again")


@contextmanager
def _stop_on_signal(progress: Progress) -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM raise a flag: the pack saves at the next step and stops. The second Ctrl-C stops at once."""
    stop = threading.Event()

    def handler(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        progress.say("stopping at the next step: checkpoints are written (again Ctrl-C: stop at once)")

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
