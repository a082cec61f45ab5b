"""A pack: runs that one process trains together from one activation stream, evaluates together and records.

This file composes the rooms: tokens, activations, SAE, training, evaluation, record.
"""

import copy
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipeline import record
from pipeline.activations import (
    Block,
    Calibration,
    StreamShape,
    calibrate,
    calibration_size,
    harvest,
    read_block,
    training_facts,
)  # fmt: skip
from pipeline.config import Execution, RunConfig, TrackerConfig
from pipeline.errors import Interrupted, LeaseLost, UserError
from pipeline.evaluation.evaluate import evaluate, metrics_of
from pipeline.evaluation.references import References, references
from pipeline.execution import choose_device, is_out_of_memory, process_facts, use_threads
from pipeline.identity import evaluation_identity, git_state, run_name, short_hash
from pipeline.language_model import LanguageModel, load_language_model
from pipeline.lease import Leases, holder
from pipeline.progress import Progress
from pipeline.sae.base import SAE
from pipeline.sae.saved import load_sae
from pipeline.sites import d_sae
from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import ContextSource, calibration_contexts, evaluation_contexts, training_contexts
from pipeline.tracker import Tracker, open_tracker
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
    language_model: LanguageModel | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def execute(self) -> None:
        use_threads(self.execution)
        sweeps_dir = Path(self.execution.sweeps_dir)
        members = [Member(run, record.run_folder(sweeps_dir, run)) for run in self.runs]
        with Leases([member.folder for member in members]) as self.leases:
            for member in members:
                self._leave_to_others(member)
            self.members = [member for member in members if not member.out]
            try:
                if self.members:
                    self._execute(self.members)
            except (Interrupted, UserError):
                raise
            except Exception as error:
                if len(self._left) != 1:
                    raise
                self._fail(self._left[0], error)

    @property
    def _left(self) -> list[Member]:
        return [member for member in self.members if not member.out]

    def _execute(self, members: list[Member]) -> None:
        first = members[0].run
        with self._timed("load"):
            held_out = evaluation_contexts(first.model, first.data, first.eval.sequences)
            self.language_model = load_language_model(first.model, choose_device(self.execution))
            self.language_model.stop = self.stop
            calibrations = self._calibrations(self.language_model, members)
        self._train(members, calibrations)
        self._evaluate(self._left, calibrations, held_out)

    def _leave_to_others(self, member: Member) -> None:
        """Pass over a run that a living process works on, or that one has recorded since this pack was made."""
        if member.folder in self.leases.living:
            member.out = True
            by = holder(self.leases.living[member.folder])
            self.progress.note(member.run, f"left to {by}, which works on it")
        elif record.read_record(member.folder, evaluation_identity(member.run)) is not None:
            self._out(member)

    def _out(self, member: Member) -> None:
        member.out, member.trainer = True, None  # its memory is for the others
        self.leases.release(member.folder, finished=True)

    @contextmanager
    def _only(self, member: Member) -> Iterator[None]:
        """What goes wrong inside is this run's failure, whatever it is, and stops no other."""
        try:
            yield
        except (Interrupted, UserError):
            raise
        except LeaseLost as lost:
            self.progress.note(member.run, str(lost))
            self._out(member)
        except Exception as error:
            if member.trainer is None and self._is_shared(error):
                raise
            self._fail(member, error)

    def _is_shared(self, error: Exception) -> bool:
        """Whether memory was short while several runs had some of it."""
        return is_out_of_memory(error) and len(self._left) > 1

    def _fail(self, member: Member, error: Exception) -> None:
        step = member.trainer.step if member.trainer else 0
        try:
            record.write_failure(member.folder, error, step)
        except LeaseLost as lost:
            self.progress.note(member.run, str(lost))
        else:
            record.write_log(member.folder, f"failed at step {step:,}: {type(error).__name__}: {error}")
            self.progress.failed(member.run, f"{type(error).__name__}: {error}")
        self._out(member)

    def _timed(self, phase: str) -> "_Timer":
        return _Timer(self.seconds, phase)

    def _calibrations(self, language_model: LanguageModel, members: Sequence[Member]) -> dict[str, Calibration]:
        run = members[0].run
        hooks = sorted({member.run.hook_name for member in members})
        size = calibration_size(run.train, run.model.context)
        contexts = calibration_contexts(run.model, run.data, size)
        return {h: calibrate(a) for h, a in harvest(language_model, contexts, hooks, run.train.lm_batch).items()}

    # ------------------------------------------------------------------------------------------------------ training

    def _train(self, members: list[Member], calibrations: dict[str, Calibration]) -> None:
        run = members[0].run
        source = training_contexts(run.model, run.data, run.seed)
        shape = StreamShape.of(run.train, run.model.context)
        self._prepare(members, calibrations, source)
        saved = time.monotonic()
        while training := [m for m in members if m.training]:
            index = min(shape.block_of(m.trainer.step) for m in training if m.trainer)
            present = [m for m in training if m.trainer and shape.block_of(m.trainer.step) == index]
            position = source.position()
            block = self._read_block(present, source, shape, index)
            if block is not None:
                with self._timed("training"):
                    for member in present:
                        self._train_member(member, block)
            block = None  # its memory is for the next
            if self.stop.is_set() or time.monotonic() - saved >= self.execution.checkpoint_seconds:
                self._save(members, position)
                saved = time.monotonic()
            if self.stop.is_set():
                raise Interrupted

    def _read_block(
        self, present: Sequence[Member], source: ContextSource, shape: StreamShape, index: int
    ) -> Block | None:
        """The block that these runs train on next; None when `stop` was set before it was full."""
        assert self.language_model is not None
        hooks = sorted({m.run.hook_name for m in present})
        with self._timed("activations"):
            try:
                return read_block(self.language_model, source, shape, hooks, index, present[0].run.seed)
            except Interrupted:
                return None

    def _prepare(self, members: list[Member], calibrations: dict[str, Calibration], source: ContextSource) -> None:
        """Give each run that is not trained a trainer, at its last checkpoint if it has one; the source goes back."""
        positions: list[tuple[int, dict[str, Any]]] = []
        for member in members:
            if record.is_trained(member.folder):
                if record.is_whole_training(member.folder):
                    self.progress.note(member.run, "already trained: evaluating")
                    continue
                self.progress.note(member.run, "its weights or history are damaged: it is trained again")
                (member.folder / record.HISTORY).unlink()
            with self._only(member):
                kept = self._begin(member, calibrations[member.run.hook_name], len(members))
                positions.append(
                    (member.trainer.step if member.trainer else 0, kept["source_position"] if kept else {})
                )
        earliest = min(positions, key=lambda p: p[0], default=(0, {}))[1]
        if earliest:
            source.restore(earliest)

    def _begin(self, member: Member, calibration: Calibration, together: int) -> dict[str, Any] | None:
        """Returns what was kept with the checkpoint that the run goes on from."""
        record.start_run(member.folder, member.run)
        trainer = Trainer(member.run, calibration, d_sae(member.run), self.execution.history_every)
        kept = trainer.resume(member.folder / "checkpoints")
        member.tracker = open_tracker(member.run, member.folder, self.tracker)
        member.trainer = trainer
        self.progress.begin(member.run, trainer.step)
        record.write_log(member.folder, f"begins at step {trainer.step:,}, {together} runs in its pack")
        if kept is not None:
            self._warn_of_other_code(member, kept)
        return kept

    def _warn_of_other_code(self, member: Member, kept: dict[str, Any]) -> None:
        before, now = kept["git"]["commit"], git_state()["commit"]
        if before != now:
            warning = f"warning: it was begun with commit {before}, and goes on with {now}"
            self.progress.note(member.run, warning)
            record.write_log(member.folder, warning)

    def _train_member(self, member: Member, block: Block) -> None:
        assert member.trainer is not None
        with self._only(member):
            member.trainer.train_on(block, self.stop)
            self.progress.advance(member.run, member.folder, member.trainer)
            self._track(member)
            if member.trainer.done:
                record.write_training(member.folder, member.trainer, self._folded(member.trainer))

    @staticmethod
    def _track(member: Member) -> None:
        if member.tracker and member.trainer:
            for row in member.trainer.history[member.tracked :]:
                member.tracker.write(row)
            member.tracked = len(member.trainer.history)
            if member.trainer.done:
                member.tracker.close()

    def _save(self, members: list[Member], position: dict[str, Any]) -> None:
        for member in members:
            if member.trainer and not member.out and not record.is_trained(member.folder):
                with self._only(member):
                    kept = {"source_position": position, "git": git_state()}
                    member.trainer.save(member.folder / "checkpoints", kept)
                    record.write_log(member.folder, f"checkpoint at step {member.trainer.step:,}")

    @staticmethod
    def _folded(trainer: Trainer) -> SAE:
        folded = copy.deepcopy(trainer.sae)
        folded.fold_input_scale(trainer.scale)
        folded.fold_decoder_norm()
        return folded.requires_grad_(False)

    # ---------------------------------------------------------------------------------------------------- evaluation

    def _evaluate(self, members: list[Member], calibrations: dict[str, Calibration], contexts: Contexts) -> None:
        """Evaluate and record; where that fails for all together, each alone, so that only the culprit fails."""
        try:
            if members:
                self._evaluate_together(members, calibrations, contexts)
            members = []
        except (Interrupted, UserError):
            raise
        except Exception as error:
            if self._is_shared(error):
                raise
            if len(members) == 1:
                self._fail(members[0], error)
            else:
                self.progress.say(f"evaluating {len(members)} runs together failed ({error}): each is evaluated alone")
        for member in members:
            if not member.out:
                self._evaluate([member], calibrations, contexts)

    def _evaluate_together(
        self, members: list[Member], calibrations: dict[str, Calibration], contexts: Contexts
    ) -> None:
        assert self.language_model is not None
        eval_batch, identity = members[0].run.eval.batch, evaluation_identity(members[0].run)
        self.progress.say(f"evaluating {len(members)} runs on {len(contexts):,} held-out contexts")
        with self._timed("evaluation"):
            means = {m.run.hook_name: calibrations[m.run.hook_name].mean for m in members}
            shared = record.shared_folder(Path(self.execution.sweeps_dir))
            reference = references(self.language_model, contexts, eval_batch, means, identity, shared)
            device = self.language_model.device
            saes = {m.folder.name: (m.run.hook_name, load_sae(m.folder).to(device)) for m in members}
            sums = evaluate(self.language_model, contexts, eval_batch, saes, self.stop)
        tokens_hash = short_hash(contexts.tokens.tolist())
        for member in members:
            with self._only(member):
                self._record(member, reference, sums[member.folder.name], calibrations, tokens_hash)

    def _record(
        self, member: Member, reference: References, sums: dict[str, torch.Tensor],
        calibrations: dict[str, Calibration], tokens_hash: str,
    ) -> None:  # fmt: skip
        run, hook = member.run, member.run.hook_name
        evaluation = {
            "id": evaluation_identity(run), "tokens": tokens_hash, "clean": reference.stored["clean"],
            "ablated": reference.stored[hook], "alive": "fired on at least one of evaluation_tokens held-out tokens",
        }  # fmt: skip
        computed = metrics_of(sums, reference, hook)
        record.write_execution(member.folder, self._execution_facts(member))
        record.write_record(member.folder, run, evaluation, training_facts(run, calibrations[hook]), computed, sums)
        record.write_log(member.folder, "recorded")
        self.progress.finished(run, computed)
        self._out(member)

    def _execution_facts(self, member: Member) -> dict[str, Any]:
        assert self.language_model is not None
        return {
            "pack": [run_name(run) for run in self.runs], "pack_seconds": dict(self.seconds),
            "training_seconds": member.trainer.seconds if member.trainer else 0.0,
            "language_model_forwards": self.language_model.forwards,
        } | process_facts(self.language_model.device)  # fmt: skip


@dataclass
class _Timer:
    """Adds the wall-clock time of a `with` block to one phase."""

    seconds: dict[str, float]
    phase: str

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + time.perf_counter() - self._started
