"""The order of a pack's work: load what its runs share, then train, evaluate and record them."""

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
from pipeline.pack.states import PackState, RunState, Shared
from pipeline.pack.training import Training
from pipeline.records import record
from pipeline.runtime.device import use_device, use_threads
from pipeline.runtime.durations import Timer
from pipeline.storage.lease import Leases
from pipeline.tokens.sources import calibration_contexts, evaluation_contexts


@dataclass
class Pack:
    """Trains, evaluates and records runs that share a stream.

    An error of one run (it diverges, its step runs out of memory, its file is damaged) becomes that run's failure
    record. An error that concerns all of them is raised, unless there is only one run. So is a lack of memory outside
    of steps: it says nothing of any run, and smaller packs may fit.

    Args:
        sharing: other processes on this machine that share blocks of activations with this one.

    Raises (from `execute`):
        Interrupted: `stop` was set; every run has a checkpoint or a record.
        UserError: no run can be trained with these settings, or nothing can be written.
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
        """Train, evaluate and record the runs that no other process works on."""
        use_threads(self.execution)
        sweeps_dir = Path(self.execution.sweeps_dir)
        states = [RunState(run, record.run_folder(sweeps_dir, run)) for run in self.runs]
        with Leases([state.folder for state in states]) as leases:
            pack = PackState(states, leases, self.progress)
            for state in states:
                pack.skip_if_taken(state)
            try:
                if pack.active:
                    self._execute(pack)
            except (Interrupted, UserError):
                raise
            except Exception as error:
                if len(pack.active) != 1:
                    raise
                pack.fail(pack.active[0], error)

    def _execute(self, pack: PackState) -> None:
        states, first = pack.active, pack.active[0].run
        self.progress.enter("loading", [(state.run, state.folder) for state in states])
        with Timer(self.seconds, "load"):
            held_out = evaluation_contexts(first.model, first.data, first.eval.sequences, first.eval.split)
            self.language_model = load_language_model(first.model, use_device(self.execution), self.stop)
            widths = {state.run.hook_name: d_in(state.run) for state in states}
            check_sites(self.language_model, first.model.name, held_out.tokens[:1], widths)
            calibrations = self._calibrations(self.language_model, states)
        shared = Shared(self.language_model, calibrations, self.execution, self.progress, pack, self.stop, self.seconds)
        skipped = Training(shared, self.tracker, self.sharing).train(states)
        Evaluation(shared, self.runs, skipped).evaluate(pack.active, held_out)

    @staticmethod
    def _calibrations(language_model: LanguageModel, states: Sequence[RunState]) -> dict[str, Calibration]:
        run = states[0].run
        hooks = sorted({state.run.hook_name for state in states})
        size = calibration_size(run.train, run.model.context)
        contexts = calibration_contexts(run.model, run.data, size)
        return {h: calibrate(a) for h, a in harvest(language_model, contexts, hooks, run.train.lm_batch).items()}
