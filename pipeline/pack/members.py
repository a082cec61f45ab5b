"""The runs of a pack: where each stands, and what happens when something goes wrong with one."""

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
class Member:
    """A run in its pack: untrained (with a trainer), or trained and waiting for its evaluation."""

    run: RunConfig
    folder: Path
    trainer: Trainer | None = None
    tracker: Tracker | None = None
    tracked: int = 0  # rows of history that the tracker has
    out: bool = False  # recorded, failed, or another process's by now

    @property
    def training(self) -> bool:
        return self.trainer is not None and not self.trainer.done and not self.out


@dataclass
class Roster:
    """Who is still in the pack: a run that is recorded, fails, or is another process's goes out and stops no other."""

    members: list[Member]
    leases: Leases
    progress: Progress

    @property
    def left(self) -> list[Member]:
        return [member for member in self.members if not member.out]

    def leave_to_others(self, member: Member) -> None:
        """Pass over a run that a living process works on, or that one has recorded since this pack was made."""
        if member.folder in self.leases.living:
            member.out = True
            by = holder(self.leases.living[member.folder])
            self.progress.note(member.run, f"left to {by}, which works on it")
        elif finished(member.folder, evaluation_identity(member.run)) is not None:
            self.out(member)

    def out(self, member: Member) -> None:
        member.out, member.trainer = True, None  # its memory is for the others
        self.leases.release(member.folder, finished=True)

    @contextmanager
    def only(self, member: Member) -> Iterator[None]:
        """What goes wrong inside is this run's failure, whatever it is, and stops no other."""
        try:
            yield
        except (Interrupted, UserError):
            raise
        except LeaseLost as lost:
            self.progress.note(member.run, str(lost))
            self.out(member)
        except Exception as error:
            if member.trainer is None and self.is_shared(error):
                raise
            self.fail(member, error)

    def is_shared(self, error: Exception) -> bool:
        """Whether memory was short while several runs had some of it."""
        return is_out_of_memory(error) and len(self.left) > 1

    def fail(self, member: Member, error: Exception) -> None:
        step = member.trainer.step if member.trainer else 0
        try:
            record.write_failure(member.folder, error, step)
            record.write_log(member.folder, f"failed at step {step:,}: {type(error).__name__}: {error}")
        except LeaseLost as lost:
            self.progress.note(member.run, str(lost))
        else:
            self.progress.failed(member.run, f"{type(error).__name__}: {error}")
        self.out(member)


@dataclass(frozen=True)
class Shared:
    """What all members share while they are trained and evaluated."""

    language_model: LanguageModel
    calibrations: dict[str, Calibration]  # by hook
    execution: Execution
    progress: Progress
    roster: Roster
    stop: threading.Event
    seconds: dict[str, float]  # by phase, added to
