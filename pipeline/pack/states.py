"""Where each run of a pack stands, and what happens when one fails."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.activations.blocks import Calibration
from pipeline.config.schema import Execution, RunConfig
from pipeline.errors import Interrupted, LeaseLost, UserError
from pipeline.language_model.model import LanguageModel
from pipeline.monitoring.progress import Progress
from pipeline.monitoring.tracker import Tracker
from pipeline.records import record
from pipeline.records.finished import finished
from pipeline.records.identity import evaluation_identity
from pipeline.runtime.device import is_out_of_memory
from pipeline.storage.lease import Leases, holder
from pipeline.training.trainer import Trainer


@dataclass
class RunState:
    """A run in its pack: untrained (with a trainer), or trained and waiting for its evaluation."""

    run: RunConfig
    folder: Path
    trainer: Trainer | None = None
    tracker: Tracker | None = None
    rows_tracked: int = 0  # rows of its history that the tracker has
    active: bool = True  # False: recorded, failed, or another process works on it

    @property
    def training(self) -> bool:
        return self.active and self.trainer is not None and not self.trainer.done


@dataclass
class PackState:
    """The runs of a pack, and leases on their folders. A run that ends or fails is released; the others go on."""

    states: list[RunState]
    leases: Leases
    progress: Progress

    @property
    def active(self) -> list[RunState]:
        return [state for state in self.states if state.active]

    def skip_if_taken(self, state: RunState) -> None:
        """Release a run that a living process works on, or that another process has recorded meanwhile."""
        if state.folder in self.leases.living:
            state.active = False
            by = holder(self.leases.living[state.folder])
            self.progress.note(state.run, f"left to {by}, which works on it")
        elif finished(state.folder, evaluation_identity(state.run)) is not None:
            self.release(state)

    def release(self, state: RunState) -> None:
        """Give up a run's lease and its memory."""
        state.active, state.trainer = False, None
        self.leases.release(state.folder, finished=True)

    @contextmanager
    def isolate(self, state: RunState) -> Iterator[None]:
        """Within, an error is this run's failure and stops no other.

        Raises:
            Interrupted: `stop` was set.
            UserError: nobody but the user can mend it, for any run.
            Exception: memory was short while several runs shared it, and this one has no trainer.
        """
        try:
            yield
        except (Interrupted, UserError):
            raise
        except LeaseLost as lost:
            self.progress.note(state.run, str(lost))
            self.release(state)
        except Exception as error:
            if state.trainer is None and self.is_shared(error):
                raise
            self.fail(state, error)

    def is_shared(self, error: Exception) -> bool:
        """Whether memory was short while several runs used some of it: then the error says nothing of one run."""
        return is_out_of_memory(error) and len(self.active) > 1

    def fail(self, state: RunState, error: Exception) -> None:
        """Write a run's failure record, and release it."""
        step = state.trainer.step if state.trainer else 0
        try:
            record.write_failure(state.folder, error, step)
            record.write_log(state.folder, f"failed at step {step:,}: {type(error).__name__}: {error}")
        except LeaseLost as lost:
            self.progress.note(state.run, str(lost))
        else:
            self.progress.failed(state.run, f"{type(error).__name__}: {error}")
        self.release(state)


@dataclass(frozen=True)
class Shared:
    """What the runs of a pack share while they are trained and evaluated."""

    language_model: LanguageModel
    calibrations: dict[str, Calibration]  # by hook
    execution: Execution
    progress: Progress
    pack: PackState
    stop: threading.Event
    seconds: dict[str, float]  # by phase; each phase adds its own
