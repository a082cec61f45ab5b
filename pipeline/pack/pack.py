"""The order of a pack's work: what its runs share is made once, they are trained, evaluated and recorded."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.activations.block_cache import SharingGroup
from pipeline.activations.blocks import Calibration, calibrate, calibration_size, harvest
from pipeline.config.schema import Execution, RunConfig, TrackerConfig
from pipeline.errors import Interrupted, UserError
from pipeline.language_model.loading import load_language_model
from pipeline.language_model.model import LanguageModel
from pipeline.language_model.site_check import check_sites
from pipeline.language_model.sites import d_in
from pipeline.monitoring.progress import Progress
from pipeline.pack.evaluation import Evaluation
from pipeline.pack.members import Member, Roster, Shared
from pipeline.pack.training import Training
from pipeline.records import record
from pipeline.runtime.device import use_device, use_threads
from pipeline.runtime.durations import Timer
from pipeline.storage.lease import Leases
from pipeline.tokens.sources import calibration_contexts, evaluation_contexts


@dataclass
class Pack:
    """Trains, evaluates and records runs that share a stream.

    What goes wrong with one run (it diverges, a step of it finds no memory, its file is bad) becomes that run's failure
    record. What goes wrong for all of them is raised, unless there is only one; so is want of memory outside of
    steps: it says nothing of any run, and in smaller packs there may be enough.

    Raises (from `execute`):
        Interrupted: `stop` was set; every run has a checkpoint or a record.
        UserError: no run can be trained like this, or nothing can be written.
    """

    runs: Sequence[RunConfig]
    execution: Execution
    progress: Progress
    stop: threading.Event = field(default_factory=threading.Event)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    sharing: SharingGroup | None = None
    language_model: LanguageModel | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def execute(self) -> None:
        use_threads(self.execution)
        sweeps_dir = Path(self.execution.sweeps_dir)
        members = [Member(run, record.run_folder(sweeps_dir, run)) for run in self.runs]
        with Leases([member.folder for member in members]) as leases:
            roster = Roster(members, leases, self.progress)
            for member in members:
                roster.leave_to_others(member)
            try:
                if roster.left:
                    self._execute(roster)
            except (Interrupted, UserError):
                raise
            except Exception as error:
                if len(roster.left) != 1:
                    raise
                roster.fail(roster.left[0], error)

    def _execute(self, roster: Roster) -> None:
        members, first = roster.left, roster.left[0].run
        self.progress.enter("loading", [(member.run, member.folder) for member in members])
        with Timer(self.seconds, "load"):
            held_out = evaluation_contexts(first.model, first.data, first.eval.sequences, first.eval.split)
            self.language_model = load_language_model(first.model, use_device(self.execution))
            self.language_model.stop = self.stop
            widths = {member.run.hook_name: d_in(member.run) for member in members}
            check_sites(self.language_model, first.model.name, held_out.tokens[:1], widths)
            calibrations = self._calibrations(self.language_model, members)
        shared = Shared(
            self.language_model, calibrations, self.execution, self.progress, roster, self.stop, self.seconds
        )
        skipped = Training(shared, self.tracker, self.sharing).train(members)
        Evaluation(shared, self.runs, skipped).evaluate(roster.left, held_out)

    @staticmethod
    def _calibrations(language_model: LanguageModel, members: Sequence[Member]) -> dict[str, Calibration]:
        run = members[0].run
        hooks = sorted({member.run.hook_name for member in members})
        size = calibration_size(run.train, run.model.context)
        contexts = calibration_contexts(run.model, run.data, size)
        return {h: calibrate(a) for h, a in harvest(language_model, contexts, hooks, run.train.lm_batch).items()}
