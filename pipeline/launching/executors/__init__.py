"""Where packs are trained: in this process, in processes of this machine, as tasks of a Slurm cluster."""

from collections.abc import Sequence

from pipeline.config.launcher import LocalOptions, Options, SlurmOptions
from pipeline.config.schema import Execution, RunConfig
from pipeline.launching.executors.base import Executor
from pipeline.launching.executors.local import LocalProcesses
from pipeline.launching.executors.this_process import ThisProcess


def choose_executor(options: Options | None, execution: Execution, runs: Sequence[RunConfig]) -> Executor:
    """The executor that a launcher's options belong to; without options, for a single run, this very process.

    Args:
        runs: those to be trained, by which the number of processes is chosen.

    Raises:
        UserError: `execution.device` is not here.
    """
    match options:
        case SlurmOptions():
            from pipeline.launching.executors.slurm import SlurmArrays  # only where Slurm is asked for

            return SlurmArrays(options)
        case LocalOptions():
            return LocalProcesses(options, execution, runs)
        case _:
            return ThisProcess(LocalOptions(), execution)
