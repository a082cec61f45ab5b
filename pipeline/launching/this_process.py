"""Tasks in this very process: what a single run needs."""

import os
import time

from pipeline.config.schema import Execution, Job
from pipeline.errors import Interrupted, UserError
from pipeline.launching.tasks import CANCELLED, COMPLETED, FAILED, RUNNING, WAITING, Outcome, Task, TaskTable
from pipeline.monitoring.progress import Progress
from pipeline.runtime.signals import StopFlag


class ThisProcess:
    """One task after the other."""

    name, settle_seconds = "local", 0.0

    def __init__(self, table: TaskTable, progress: Progress, stop: StopFlag) -> None:
        self.table, self.progress, self.stopped = table, progress, stop
        self._outcomes: dict[int, Outcome] = {}

    def execution(self, job: Job) -> Execution:
        return job.execution

    def poll(self) -> None:
        """Train the next waiting task to its end."""
        from pipeline.pack import Pack  # imports the language model's libraries

        task = self.table.where(lambda t: t.state == WAITING)[0]
        task.state, task.job_id, task.submitted = RUNNING, str(os.getpid()), time.time()
        self.table.save()
        pack = self.table.pack(task.pack)
        try:
            Pack(pack.runs, pack.execution, self.progress, self.stopped, tracker=pack.tracker).execute()
        except Interrupted:
            self.table.end(task, CANCELLED, "stopped")
            raise
        except Exception as error:
            task.state = FAILED
            self._outcomes[task.task] = Outcome(type(error).__name__, str(error), isinstance(error, UserError))
        else:
            task.state = COMPLETED

    def outcome(self, task: Task) -> Outcome | None:
        return self._outcomes.get(task.task)

    def stop(self) -> None:
        """Nothing runs beside this process."""

    def finish(self) -> None:
        """Nothing runs beside this process."""
