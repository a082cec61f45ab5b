"""Follow the tasks of a sweep to their ends. A run's record decides; a task's state only explains."""

import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.config.schema import Job, RunConfig
from pipeline.errors import Interrupted, ProcessKilled
from pipeline.launching.executors.base import Executor
from pipeline.launching.tasks import CANCELLED, COMPLETED, FINAL, KILLED, Task, TaskTable
from pipeline.monitoring.progress import Progress
from pipeline.records import record
from pipeline.records.finished import finished, read_failure
from pipeline.records.identity import evaluation_identity, run_name
from pipeline.records.status import OF_PROGRESS
from pipeline.runtime.signals import StopFlag
from pipeline.storage import layout
from pipeline.storage.lease import Leases, holder, read_lease, watch
from pipeline.storage.reading import whole_object
from pipeline.training.checkpoint import checkpoints, step_of


class Follower:
    """Watches tasks and restarts them where needed: in halves after a death, unchanged after an interruption."""

    def __init__(
        self, table: TaskTable, executor: Executor, job: Job, runs: Mapping[str, RunConfig], progress: Progress
    ) -> None:
        self.table, self.executor, self.job, self.progress = table, executor, job, progress
        self.runs = dict(runs)
        self.sweeps_dir = Path(job.execution.sweeps_dir)
        self._evaluations: dict[str, str] = {}
        self._since: dict[int, tuple[str, float]] = {}

    def follow(self, stop: StopFlag) -> None:
        """Watch until every task has ended.

        Raises:
            Interrupted: `stop` was set, and the executor has stopped.
        """
        while self.table.open:
            if stop.is_set():
                self.executor.stop()
                raise Interrupted
            self.executor.poll()
            for task in self.table.open:
                self._look(task)
            self.table.save()
            if self.table.open:
                stop.wait(self.executor.poll_seconds)
        self.executor.finish()

    def _look(self, task: Task) -> None:
        if not all(name in self.runs for name in task.runs):  # adopted, from an earlier state of the sweep
            self.runs |= {run_name(run): run for run in self.table.pack(task.pack).runs}
        unfinished = [name for name in task.runs if not self._is_settled(name)]
        if not unfinished:
            self.table.end(task, COMPLETED)
        elif task.state in FINAL and self._is_quiet(task):
            self._judge(task, unfinished)

    def _folder(self, name: str) -> Path:
        return layout.run_folder(self.sweeps_dir, name)

    def _is_settled(self, name: str) -> bool:
        """Whether a run has its record or its failure; passes what is new on to the progress."""
        if self.progress.is_settled(name):
            return True
        run, folder = self.runs[name], self._folder(name)
        if name not in self._evaluations:
            self._evaluations[name] = evaluation_identity(run)
        found = finished(folder, self._evaluations[name])
        failure = None if found else read_failure(folder)
        if found:
            self.progress.finished(run, found["metrics"])
        elif failure:
            self.progress.failed(run, f"{failure['error']}: {failure['reason']}")
        elif latest := whole_object(folder / layout.PROGRESS, OF_PROGRESS):
            self.progress.observe(name, latest)
        return bool(found or failure)

    def _is_quiet(self, task: Task) -> bool:
        """Whether a final state has lasted: records arrive late on shared disks, and a lost node's job is requeued."""
        state, since = self._since.get(task.task, ("", 0.0))
        if state != task.state:
            since = time.monotonic()
            self._since[task.task] = (task.state, since)
        return time.monotonic() - since >= self.executor.settle_seconds

    # ------------------------------------------------------------------------------------------------------ judgement

    def _judge(self, task: Task, unfinished: list[str]) -> None:
        """A task ended and left runs without record or failure."""
        outcome = self.executor.outcome(task)
        if outcome is not None:
            task.reason = outcome.reason if outcome.user else f"{outcome.error}: {outcome.reason}"
        if task.state == CANCELLED or (outcome is not None and outcome.user):
            self._give_up(task, task.reason or "cancelled")
        elif others := self._elsewhere(unfinished):
            self._give_up(task, f"left to {others}")
        elif task.state in KILLED and (outcome is not None or self._had_begun(task, unfinished)):
            self._halve(task, unfinished)
        else:
            self._again(task, unfinished)

    def _give_up(self, task: Task, reason: str) -> None:
        log = f" (log: {task.log})" if task.log else ""
        self.progress.say(f"task {task.task} ({self._count(task)}) ended without records: {reason}{log}")
        self.table.end(task, task.state, reason)

    def _had_begun(self, task: Task, unfinished: list[str]) -> bool:
        """Whether the task began to train its runs; if not, they did not kill it."""
        leases = [read_lease(self._folder(name)) for name in unfinished]
        return any(lease and task.job_id in {lease["slurm_job"], str(lease["pid"])} for lease in leases)

    def _elsewhere(self, unfinished: list[str]) -> str:
        """The processes of other launches that hold these runs, in words; empty unless each run has one."""
        folders = [self._folder(name) for name in unfinished]
        living = watch(folders, patience=0.0)[1]
        return ", ".join(sorted({holder(lease) for lease in living.values()})) if len(living) == len(folders) else ""

    def _halve(self, task: Task, unfinished: list[str]) -> None:
        reason = task.reason or task.state
        if len(unfinished) == 1:
            self.table.end(task, task.state, reason)
            self._blame(unfinished[0], reason)
            return
        self.progress.say(f"task {task.task} ({self._count(task)}) died ({reason}): again in halves")
        middle = (len(unfinished) + 1) // 2
        for half in (unfinished[:middle], unfinished[middle:]):
            self._add(half, task)
        self.table.end(task, task.state, reason)

    def _again(self, task: Task, unfinished: list[str]) -> None:
        if task.attempt > self.executor.retries:
            self._give_up(task, f"{task.reason or task.state}, after {task.attempt} attempts")
            return
        self.progress.say(f"task {task.task} ({self._count(task)}) ended ({task.reason or task.state}): again")
        self._add(unfinished, task)
        self.table.end(task, task.state)

    def _add(self, names: list[str], after: Task) -> None:
        runs = [self.runs[name] for name in names]
        pack = self.table.add_pack(runs, self.job, self.table.pack(after.pack).execution)
        self.table.add(pack, self.executor.name, after)

    def _blame(self, name: str, reason: str) -> None:
        """Write the failure record of a run that died alone in its pack."""
        folder = self._folder(name)
        saved = [step_of(path) for path in checkpoints(layout.checkpoints_folder(folder))]
        step = max([(whole_object(folder / layout.PROGRESS, OF_PROGRESS) or {"step": 0})["step"], *saved])
        message = f"{reason}; alone in its pack, at about step {step:,}"
        with Leases([folder]) as leases:
            if folder in leases.mine:
                record.write_failure(folder, ProcessKilled(message), step)
                record.write_log(folder, message)
                leases.release(folder, finished=True)
        self.progress.failed(self.runs[name], message)

    @staticmethod
    def _count(task: Task) -> str:
        return f"{len(task.runs)} runs" if len(task.runs) > 1 else task.runs[0]
