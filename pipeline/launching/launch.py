"""From a list of jobs to records on disk: check everything, skip what is done, have the rest trained pack by pack."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.launcher import Options
from pipeline.config.schema import Execution, Job, RunConfig
from pipeline.errors import LeaseLost, UserError
from pipeline.estimates import disk
from pipeline.language_model.folder import check_model
from pipeline.language_model.loading import check_tensors
from pipeline.language_model.sites import d_sae
from pipeline.launching.executors import choose_executor
from pipeline.launching.executors.base import Executor
from pipeline.launching.executors.local import end_orphans
from pipeline.launching.follow import Follower
from pipeline.launching.packing import check_alone, pack_up
from pipeline.launching.tasks import TaskTable
from pipeline.monitoring.progress import Progress
from pipeline.monitoring.results_table import print_results
from pipeline.records import record
from pipeline.records.identity import run_name
from pipeline.records.manifest import declare, declared
from pipeline.records.sweep import OnDisk, on_disk, unique
from pipeline.runtime.preconditions import check_circumstances
from pipeline.runtime.signals import stop_on_signal
from pipeline.storage import write_access
from pipeline.storage.files import remove
from pipeline.storage.layout import FAILURE, sweep_folder
from pipeline.storage.lease import Leases, holder
from pipeline.storage.places import door
from pipeline.tokens.enough import check_text


@dataclass(frozen=True)
class Prepared:
    """A launch whose settings have been checked: what is on disk, what is to be trained, and where."""

    jobs: Sequence[Job]
    found: dict[RunConfig, OnDisk]
    """Every run, as it was before this process had the lease on the sweep. What another process records after that is
    found by the pack."""
    to_train: Sequence[RunConfig]
    executor: Executor
    notes: Sequence[str]
    """What the user should know of the text."""

    @property
    def sweep_name(self) -> str:
        return self.jobs[0].sweep_name

    @property
    def execution(self) -> Execution:
        return self.jobs[0].execution

    @property
    def sweeps_dir(self) -> Path:
        return Path(self.execution.sweeps_dir)

    def packs_of(self, runs: Sequence[RunConfig]) -> list[list[RunConfig]]:
        return pack_up(runs, self.executor.capacity, self.executor.at_once)


def launch(jobs: Sequence[Job], options: Options | None = None, plan_only: bool = False, extend: bool = False) -> bool:
    """Train what these jobs ask for and is not on disk.

    Args:
        options: of a launcher; None for a single run, which is trained in this process.
        plan_only: print what would be done, with its cost, and train nothing.
        extend: declare these runs together with those that the sweep has, instead of in their place.

    Returns:
        Whether every run has its record at the end; true also when tasks were submitted that nobody waits for.
    """
    prepared = prepare(jobs, options, extend)
    if plan_only:
        _print_plan(prepared)
        return True
    folder = sweep_folder(prepared.sweeps_dir, prepared.sweep_name)
    with _leased(folder) if options else _unleased(folder):
        declare(jobs, f"{door('run')} {shlex.join(sys.argv[1:])}", extend)
        waited = _train(prepared, TaskTable.read(folder) if options else TaskTable(folder, (), False))
    return not waited or print_results(prepared.found | _on_disk(prepared.to_train, prepared.sweeps_dir))


def prepare(jobs: Sequence[Job], options: Options | None, extend: bool) -> Prepared:
    """Check everything that can be wrong before anything is written, and look at what is on disk.

    Raises:
        UserError: a setting, a model or a text is not usable, or a run does not fit into memory.
    """
    execution = jobs[0].execution
    check_circumstances(jobs[0])
    _check_models([job.run for job in jobs])
    declared(jobs, extend)  # runs that would be dropped
    runs = unique([job.run for job in jobs])
    found = _on_disk(runs, Path(execution.sweeps_dir))
    skipped = {"done"} if execution.retry_failed else {"done", "failed"}
    to_train = [run for run in runs if found[run].status not in skipped]
    for model in {run.model for run in to_train}:
        check_tensors(model)
    notes = check_text(to_train)
    executor = choose_executor(options, execution, to_train)
    for run in to_train:
        check_alone(run, executor.capacity)
    return Prepared(jobs, found, to_train, executor, notes)


def _check_models(runs: Sequence[RunConfig]) -> None:
    """Raises: UserError, where a model is not the one that its folder's name says, or lacks a layer or hook."""
    for model in {run.model for run in runs}:
        check_model(model)
    for run in runs:
        d_sae(run)


def _on_disk(runs: Sequence[RunConfig], sweeps_dir: Path) -> dict[RunConfig, OnDisk]:
    return {run: on_disk(sweeps_dir, run) for run in runs}


def _print_plan(prepared: Prepared) -> None:
    from pipeline.launching.plan import print_plan

    print_plan(prepared.jobs, prepared.packs_of(prepared.to_train), prepared.executor, prepared.notes)


@contextmanager
def _leased(folder: Path) -> Iterator[None]:
    """One process launches a sweep."""
    with Leases([folder]) as leases:
        if leases.living:
            raise UserError(f"{folder.name} is being launched by {holder(leases.living[folder])}: one is enough")
        try:
            yield
        except LeaseLost as lost:
            raise UserError(f"{folder.name}: {lost}") from lost


@contextmanager
def _unleased(folder: Path) -> Iterator[None]:
    """A single run is declared even while another process launches its sweep."""
    write_access.forget(folder)
    yield


def _train(prepared: Prepared, table: TaskTable) -> bool:
    """Adopt what an earlier launch left running, add what is missing, follow all; false when nobody waits."""
    executor = prepared.executor
    with Progress(prepared.to_train) as progress, stop_on_signal(progress.say) as stop:
        progress.say(f"records go to {prepared.sweeps_dir.absolute()}")
        end_orphans(table, progress)
        executor.attach(table, progress, stop)
        _refuse_other_executors(prepared.sweep_name, table, executor)
        _say_what_is_there(prepared, progress)
        _add_tasks(prepared, table, progress)
        if executor.waits:
            runs = {run_name(run): run for run in prepared.found}
            Follower(table, executor, prepared.jobs[0], runs, progress).follow(stop)
            return True
        executor.poll()
        table.save()
        progress.say(f"{table.submitted()}; the same command, or {door('status')}, follows them")
    return False


def _add_tasks(prepared: Prepared, table: TaskTable, progress: Progress) -> None:
    """A task for each pack of the runs that no task of an earlier launch is training."""
    job, executor = prepared.jobs[0], prepared.executor
    adopted = {name for task in table.open for name in task.runs}
    if adopted:
        progress.say(f"{len(table.open)} tasks of an earlier launch go on, with {len(adopted)} runs")
    missing = [run for run in prepared.to_train if run_name(run) not in adopted]
    _forget_failures([record.run_folder(prepared.sweeps_dir, run) for run in missing])
    packed = prepared.packs_of(missing)
    needed = disk.needed(packed, executor.most_at_once, executor.on_this_machine)
    if warning := disk.check(needed, prepared.sweeps_dir):
        progress.say(warning)
    for pack in packed:
        table.add(table.add_pack(pack, job, executor.execution(job)), executor.name)
    table.save()


def _forget_failures(folders: Sequence[Path]) -> None:
    """Of runs that are tried again, unless a process works on one."""
    with Leases([folder for folder in folders if os.path.lexists(folder / FAILURE)]) as leases:
        for folder in list(leases.mine):
            remove(folder / FAILURE)
            leases.release(folder, finished=True)


def _refuse_other_executors(sweep_name: str, table: TaskTable, executor: Executor) -> None:
    others = [task for task in table.open if task.executor != executor.name]
    if others:
        ids = " ".join(sorted({task.job_id.split("_")[0] for task in others}))
        raise UserError(
            f"{sweep_name} has {len(others)} tasks on {others[0].executor} (jobs {ids}): follow them with "
            f"hydra/launcher={others[0].executor}, or end them, follow once, and then launch here"
        )


def _say_what_is_there(prepared: Prepared, progress: Progress) -> None:
    found, again = prepared.found, set(prepared.to_train)
    count = Counter(each.status for each in found.values())
    parts = [f"{count['done']} done", f"{count['begun']} to resume", f"{count['missing']} to train"]
    progress.say(f"{prepared.sweep_name}: {len(found)} runs: {', '.join(parts)}, {count['failed']} failed before")
    for run, each in found.items():
        if run not in again and (failure := each.failure):
            progress.note(run, f"failed before ({failure['reason']}); execution.retry_failed=true tries again")
    for note in prepared.notes:
        progress.say(note)
