"""Tasks as Slurm jobs, submitted as arrays through submitit."""

import shlex
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config.launcher import SlurmOptions
from pipeline.config.schema import Execution, Job
from pipeline.errors import UserError
from pipeline.launching import exit_reason
from pipeline.launching.executors.base import Executor
from pipeline.launching.packing import Capacity
from pipeline.launching.tasks import KILLED, LOST, SUBMITTING, WAITING, Outcome, Task, TaskTable, read_outcome
from pipeline.launching.worker import SlurmTask
from pipeline.monitoring.progress import Progress
from pipeline.runtime.signals import StopFlag
from pipeline.slurm import squeue
from pipeline.storage.layout import OUTCOMES, SLURM_LOGS
from pipeline.storage.places import python_path

LOST_SECONDS = 60.0
"""A task counts as lost if squeue does not know it so long after its submission."""
SPARE = 0.95
TOO_MANY = ("MaxSubmit", "SubmitLimit", "SubmitJob", "Invalid job array", "job submit limit", "MaxJobCount")
"""What sbatch says when it would accept fewer tasks, or the same tasks later."""
AWAY = ("Unable to contact", "onnection", "imed out", "temporarily unable")


def capacity(options: SlurmOptions) -> Capacity:
    """What one pack may take in a task. A GPU's memory is unknown unless memory_gb gives it."""
    gpu = bool(options.gpus_per_node) or (options.gres or "").startswith("gpu")
    stated = options.memory_gb if gpu or options.memory_gb is not None else options.mem_gb
    return Capacity(SPARE * stated * 1e9 if stated else None, "cuda" if gpu else "cpu", options.runs_per_pack)


class SlurmArrays(Executor):
    """Submits waiting tasks, and asks squeue about the others.

    tasks.json is written before and after each sbatch. A launcher that was killed in between finds its jobs by name.
    """

    name = "slurm"
    on_this_machine = False

    def __init__(self, options: SlurmOptions) -> None:
        super().__init__(options, capacity(options), at_once=1, most_at_once=options.array_parallelism)
        self.options, self.settle_seconds, self.waits = options, options.settle_seconds, options.wait
        self._seen: set[str] = set()
        self._told: set[str] = set()
        self._away = False
        self._most: int | None = None
        self._refusal = ""

    def attach(self, table: TaskTable, progress: Progress, stop_flag: StopFlag) -> None:
        if shutil.which("sbatch") is None:
            raise UserError(
                "hydra/launcher=slurm needs sbatch, which this machine does not have: use a login node, or "
                "hydra/launcher=local"
            )
        super().attach(table, progress, stop_flag)
        if self.options.timeout_min <= 10:
            progress.say(
                "warning: with hydra.launcher.timeout_min <= 10 submitit mistakes every pre-emption for a time-out"
            )

    def execution(self, job: Job) -> Execution:
        return replace(job.execution, threads=job.execution.threads or self.options.cpus_per_task)

    def outcome(self, task: Task) -> Outcome | None:
        return read_outcome(self._outcomes / f"{task.job_id}.json")

    def stop(self) -> None:
        """The tasks go on: they do not depend on the process that follows them."""
        ids = sorted({task.job_id.split("_")[0] for task in self.table.open if task.state != WAITING})
        self.progress.say(f"{self.table.submitted()}: they go on; the same command follows them again")
        if ids:
            self.progress.say(f"to stop them: scancel {' '.join(ids)}")

    def poll(self) -> None:
        try:
            for name in {t.job_id.rpartition("_")[0] for t in self._in_state(SUBMITTING)}:
                self._find(name)
            self._update()
            self._submit_waiting()
        except squeue.NoAnswer as error:
            if not self._away:
                self.progress.say(f"Slurm does not answer ({error}): waiting until it does; the tasks go on")
            self._away = True
            return
        if self._away:
            self.progress.say("Slurm answers again")
        self._away = False

    def _in_state(self, state: str) -> list[Task]:
        return self.table.where(lambda task: task.state == state and task.ended is None)

    @property
    def _outcomes(self) -> Path:
        return self.table.folder.resolve() / OUTCOMES

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self.progress.say(message)

    # ----------------------------------------------------------------------------------------------------- submission

    def _submit_waiting(self) -> None:
        waiting = self._in_state(WAITING)
        if waiting and self._most is None:
            self._most = squeue.largest_array()
        while waiting and self._most:
            chunk = waiting[: self._most]
            if self._submit(chunk):
                waiting = waiting[len(chunk) :]
            elif len(chunk) == 1:
                self._tell_once(
                    f"Slurm accepts no further task now ({self._refusal}): the other {len(waiting)} are submitted as "
                    "there is room, while this command or the same one again follows them"
                )
                self._most = None
                return
            else:
                self._most = len(chunk) // 2

    def _submit(self, tasks: Sequence[Task]) -> bool:
        """Submit one array; false where it exceeds some limit of the cluster."""
        import submitit.core.utils as submitit_utils

        name = f"sae-{self.table.folder.name}-{uuid.uuid4().hex[:8]}"
        for index, task in enumerate(tasks):
            task.state, task.job_id, task.submitted = SUBMITTING, f"{name}_{index}", time.time()
        self.table.save()
        try:
            submitted = self._sbatch(name, tasks)
        except (submitit_utils.FailedJobError, submitit_utils.FailedSubmissionError) as error:
            for task in tasks:
                task.state, task.job_id, task.submitted = WAITING, "", None
            self.table.save()
            line = (str(error).strip().splitlines() or ["sbatch failed"])[-1]
            if any(text in str(error) for text in AWAY):
                raise squeue.NoAnswer(line) from error
            if any(text in str(error) for text in TOO_MANY):
                self._refusal = line
                return False
            raise UserError(f"{line} (hydra.launcher.* sets what is requested)") from error
        for task, job in zip(tasks, submitted, strict=True):
            task.state, task.job_id, task.log = "PENDING", job.job_id, str(job.paths.stdout)
        self.table.save()
        ids = sorted({task.job_id.split("_")[0] for task in tasks})
        self.progress.say(f"submitted {len(tasks)} tasks as Slurm job {', '.join(ids)}")
        return True

    def _sbatch(self, name: str, tasks: Sequence[Task]) -> list[Any]:
        import submitit

        folder = self.table.folder.resolve()
        with squeue.outside_of_jobs():
            executor = submitit.SlurmExecutor(folder / SLURM_LOGS, max_num_timeout=1_000_000)
            executor.update_parameters(job_name=name, **parameters(self.options))
            with executor.batch():
                work = [SlurmTask(str(folder / task.pack), str(self._outcomes)) for task in tasks]
                return [executor.submit(task) for task in work]

    def _find(self, name: str) -> None:
        """Find the tasks of a launcher that was killed while it submitted them; those that Slurm lacks wait again."""
        tasks = [t for t in self._in_state(SUBMITTING) if t.job_id.rpartition("_")[0] == name]
        found = {number.partition("_")[2] or "0": number for number in squeue.jobs(name=name)}
        for task in tasks:
            number = found.get(task.job_id.rpartition("_")[2])
            task.state, task.job_id = ("PENDING", number) if number else (WAITING, "")
            task.log = str(self.table.folder.resolve() / SLURM_LOGS / f"{number}_0_log.out") if number else ""

    # --------------------------------------------------------------------------------------------------------- states

    def _update(self) -> None:
        tasks = self.table.where(lambda t: t.ended is None and t.state not in {WAITING, SUBMITTING})
        if not tasks:
            return
        rows = squeue.jobs([task.job_id for task in tasks])
        for task in tasks:
            row = rows.get(task.job_id)
            if row is not None:
                self._seen.add(task.job_id)
                self._set(task, row)
            elif task.job_id in self._seen or time.time() - (task.submitted or 0.0) > LOST_SECONDS:
                task.state, task.reason = LOST, "squeue no longer knows it"

    def _set(self, task: Task, row: squeue.Row) -> None:
        task.state, task.reason = row.state, "" if row.reason == "None" else row.reason
        if row.state in KILLED:
            task.reason = exit_reason.in_log(Path(task.log), row.state)
        array = task.job_id.split("_")[0]  # one line per array: its tasks often wait for the same reason
        advice = squeue.advice(row, array)
        if advice:
            self._tell_once(f"Slurm job {array}: {row.reason}: {advice}")


def parameters(options: SlurmOptions) -> dict[str, Any]:
    """The settings of `hydra.launcher.*`, under the names that sbatch and submitit use."""
    threads = options.cpus_per_task
    environment = python_path() | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    setup = [*options.setup, *(f"export {name}={shlex.quote(value)}" for name, value in environment.items())]
    container = [f"--container-image={options.container_image}"] if options.container_image else []
    stated = {
        "partition": options.partition, "account": options.account, "qos": options.qos, "gres": options.gres,
        "constraint": options.constraint, "nodelist": options.nodelist, "exclude": options.exclude,
        "gpus_per_node": options.gpus_per_node, "mem": f"{options.mem_gb * 1024:.0f}MB" if options.mem_gb else None,
    }  # fmt: skip
    return {key: value for key, value in stated.items() if value is not None} | {
        "time": options.timeout_min, "cpus_per_task": threads, "signal_delay_s": options.signal_delay_s,
        "array_parallelism": options.array_parallelism, "setup": setup, "stderr_to_stdout": True,
        "srun_args": [*options.srun_args, *container],
        "additional_parameters": {"requeue": True} | options.additional_parameters,
    }  # fmt: skip
