"""Tasks in this process, for a single run."""

import os
import time

from pipeline.config.launcher import LocalOptions
from pipeline.config.schema import Execution
from pipeline.errors import Interrupted, UserError
from pipeline.launching import slots
from pipeline.launching.executors.base import Executor
from pipeline.launching.tasks import CANCELLED, COMPLETED, FAILED, RUNNING, WAITING, Outcome, Task


class ThisProcess(Executor):
    """One task after the other."""

    def __init__(self, options: LocalOptions, execution: Execution) -> None:
        super().__init__(options, slots.capacity(options, execution, 1), at_once=1, most_at_once=1)
        self._outcomes: dict[int, Outcome] = {}

    def poll(self) -> None:
        """Train the next waiting task to its end."""
        from pipeline.pack import Pack  # imports the language model's libraries

        task = self.table.where(lambda t: t.state == WAITING)[0]
        task.state, task.job_id, task.submitted = RUNNING, str(os.getpid()), time.time()
        self.table.save()
        pack = self.table.pack(task.pack)
        try:
            Pack(pack.runs, pack.execution, self.progress, self.stop_flag, tracker=pack.tracker).execute()
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
