"""What a launch asks of the place where its packs are trained."""

from abc import ABC, abstractmethod

from pipeline.config.launcher import Options
from pipeline.config.schema import Execution, Job
from pipeline.launching.packing import Capacity
from pipeline.launching.tasks import Outcome, Task, TaskTable
from pipeline.monitoring.progress import Progress
from pipeline.runtime.signals import StopFlag


class Executor(ABC):
    """Trains the packs of one launch. It says what a pack may take from the start, and runs tasks after `attach`.

    Args:
        at_once: number of packs that are trained in parallel; a launch makes no fewer packs, where runs suffice.
        most_at_once: number of packs that may be trained in parallel at the most, for which the disk must have room.
    """

    name = "local"
    """In tasks.json."""
    on_this_machine = True
    settle_seconds = 0.0
    """How long a task's final state must have lasted before it is believed."""
    waits = True
    """Whether the launching process stays until all tasks have ended."""

    table: TaskTable
    progress: Progress
    stop_flag: StopFlag

    def __init__(self, options: Options, capacity: Capacity, at_once: int, most_at_once: int) -> None:
        self.retries, self.poll_seconds = options.retries, options.poll_seconds
        self.capacity, self.at_once, self.most_at_once = capacity, at_once, most_at_once

    def attach(self, table: TaskTable, progress: Progress, stop_flag: StopFlag) -> None:
        """Work on these tasks from now on. Raises: UserError, where tasks cannot be started from here."""
        self.table, self.progress, self.stop_flag = table, progress, stop_flag

    def execution(self, job: Job) -> Execution:
        """How a pack is trained there: the job's circumstances, with the number of threads."""
        return job.execution

    @abstractmethod
    def poll(self) -> None:
        """Start what waits and may start; bring `state` and `reason` of the open tasks up to date."""

    @abstractmethod
    def outcome(self, task: Task) -> Outcome | None:
        """Why a task could not train its pack, as its worker said; None where it said nothing."""

    def stop(self) -> None:  # noqa: B027  many have nothing to do
        """The launching process was told to stop."""

    def finish(self) -> None:  # noqa: B027
        """All tasks have ended."""
