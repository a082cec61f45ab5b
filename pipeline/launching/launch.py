"""From a list of jobs to records on disk: check everything, skip what is done, have the rest trained pack by pack."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.config.launcher import Options
from pipeline.config.schema import Job, RunConfig
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
from pipeline.storage.files import GUARDS, remove
from pipeline.storage.layout import FAILURE, sweep_folder
from pipeline.storage.lease import Leases, holder
from pipeline.storage.places import door
from pipeline.tokens.enough import check_text


def launch(jobs: Sequence[Job], options: Options | None = None, plan_only: bool = False, extend: bool = False) -> bool:
    """Train what these jobs ask for and is not on disk.

    Args:
        options: of a launcher; None for a single run, which is trained in this process.
        plan_only: print what would be done, with its cost, and train nothing.
        extend: declare these runs together with those that the sweep has, instead of in their place.

    Returns:
        Whether every run has its record at the end; true also when tasks were submitted that nobody waits for.
    """
    check_circumstances(jobs[0])
    for model in {job.run.model for job in jobs}:
        check_model(model)  # fails early: another model than its folder's name says
    runs = unique([job.run for job in jobs])
    for run in runs:
        d_sae(run)  # fails early: a layer or hook that the model lacks
    declared(jobs, extend)  # fails early: runs that would be dropped
    sweeps_dir = Path(jobs[0].execution.sweeps_dir)
    found = {run: on_disk(sweeps_dir, run) for run in runs}
    skipped = {"done"} if jobs[0].execution.retry_failed else {"done", "failed"}
    wanted = [run for run in runs if found[run].status not in skipped]
    for model in {run.model for run in wanted}:
        check_tensors(model)  # fails early: a model that cannot be loaded
    notes = check_text(wanted)
    executor = choose_executor(options, jobs[0].execution, wanted)
    for run in wanted:
        check_alone(run, executor.capacity)  # fails early: a run that needs more memory than there is
    if plan_only:
        from pipeline.launching.plan import print_plan

        packed = pack_up(wanted, executor.capacity, executor.at_once)
        print_plan(jobs, packed, executor, notes)
        return True
    folder = sweep_folder(sweeps_dir, jobs[0].sweep_name)
    if options is None:
        GUARDS.pop(folder, None)  # a single run is declared beside whoever launches the sweep
    with Leases([folder] if options else []) as leases:
        if leases.living:
            raise UserError(f"{jobs[0].sweep_name} is being launched by {holder(leases.living[folder])}: one is enough")
        declare(jobs, f"{door('run')} {shlex.join(sys.argv[1:])}", extend)
        try:
            table = TaskTable.read(folder) if options else TaskTable(folder, (), False)
            waited = _launch(jobs[0], found, wanted, executor, table, notes)
        except LeaseLost as lost:
            raise UserError(f"{jobs[0].sweep_name}: {lost}") from lost
    return print_results(found | {run: on_disk(sweeps_dir, run) for run in wanted}) if waited else True


def _launch(
    job: Job, found: Mapping[RunConfig, OnDisk], wanted: Sequence[RunConfig], executor: Executor, table: TaskTable,
    notes: Sequence[str],
) -> bool:  # fmt: skip
    """Adopt what an earlier launch left running, add what is missing, follow all; false when nobody waits.

    Args:
        found: every run, as it was before this process had the lease on the sweep. What another process has recorded
            since then is found by the pack.
        wanted: those that are to be trained.
    """
    with Progress(wanted) as progress, stop_on_signal(progress.say) as stop:
        progress.say(f"records go to {Path(job.execution.sweeps_dir).absolute()}")
        end_orphans(table, progress)
        executor.attach(table, progress, stop)
        _refuse_other_executors(job, table, executor)
        adopted = {name for task in table.open for name in task.runs}
        _say_what_is_there(job, found, wanted, progress)
        for note in notes:
            progress.say(note)
        missing = [run for run in wanted if run_name(run) not in adopted]
        if adopted:
            progress.say(f"{len(table.open)} tasks of an earlier launch go on, with {len(adopted)} runs")
        _forget_failures([record.run_folder(Path(job.execution.sweeps_dir), run) for run in missing])
        packed = pack_up(missing, executor.capacity, executor.at_once)
        warning = disk.check(
            disk.needed(packed, executor.most_at_once, executor.on_this_machine), Path(job.execution.sweeps_dir)
        )
        if warning:
            progress.say(warning)
        for pack in packed:
            table.add(table.add_pack(pack, job, executor.execution(job)), executor.name)
        table.save()
        if not executor.waits:
            executor.poll()
            table.save()
            progress.say(f"{table.submitted()}; the same command, or {door('status')}, follows them")
            return False
        Follower(table, executor, job, {run_name(run): run for run in found}, progress).follow(stop)
    return True


def _forget_failures(folders: Sequence[Path]) -> None:
    """Of runs that are tried again, unless a process works on one."""
    with Leases([folder for folder in folders if os.path.lexists(folder / FAILURE)]) as leases:
        for folder in list(leases.mine):
            remove(folder / FAILURE)
            leases.release(folder, finished=True)


def _refuse_other_executors(job: Job, table: TaskTable, executor: Executor) -> None:
    others = [task for task in table.open if task.executor != executor.name]
    if others:
        ids = " ".join(sorted({task.job_id.split("_")[0] for task in others}))
        raise UserError(
            f"{job.sweep_name} has {len(others)} tasks on {others[0].executor} (jobs {ids}): follow them with "
            f"hydra/launcher={others[0].executor}, or end them, follow once, and then launch here"
        )


def _say_what_is_there(
    job: Job, found: Mapping[RunConfig, OnDisk], wanted: Sequence[RunConfig], progress: Progress
) -> None:
    count, again = Counter(each.status for each in found.values()), set(wanted)
    parts = [f"{count['done']} done", f"{count['begun']} to resume", f"{count['missing']} to train"]
    progress.say(f"{job.sweep_name}: {len(found)} runs: {', '.join(parts)}, {count['failed']} failed before")
    for run, each in found.items():
        if run not in again and (failure := each.failure):
            progress.note(run, f"failed before ({failure['reason']}); execution.retry_failed=true tries again")
