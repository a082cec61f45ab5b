"""The training of a pack: every member takes its steps on each block of activations, one after the other."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.activations.block_cache import Circle, Exchange
from pipeline.activations.blocks import Block, Calibration, StreamShape, read_block
from pipeline.activations.prefetch import Blocks, made_ahead
from pipeline.config.schema import TrackerConfig
from pipeline.errors import Interrupted
from pipeline.estimates.compute import SPARE, block_bytes, memory
from pipeline.language_model.sites import d_sae
from pipeline.monitoring.tracker import open_tracker
from pipeline.pack.members import Member, Shared
from pipeline.records import record
from pipeline.records.identity import git_state
from pipeline.runtime.durations import Timer
from pipeline.sae.base import SAE
from pipeline.storage import write_access
from pipeline.storage.layout import HISTORY, checkpoints_folder
from pipeline.tokens.prefetch import read_ahead
from pipeline.tokens.sources import ContextSource, training_contexts
from pipeline.training.trainer import Trainer


@dataclass
class Training:
    """Trains the members of a pack that are not trained yet."""

    shared: Shared
    tracker: TrackerConfig
    circle: Circle | None = None  # of processes that exchange blocks

    def train(self, members: list[Member]) -> int | None:
        """Train them; for a stream, say how many of its rows were skipped for want of text, as far as it was read."""
        run = members[0].run
        shape = StreamShape.of(run.train, run.model.context)
        count = 1 + shape.block_of(max(member.run.train.steps for member in members) - 1)
        source = training_contexts(run.model, run.data, run.seed)
        exchanged = self.circle is not None and not source.position()  # the text can be read in any order
        with read_ahead(source, 0 if exchanged else count * shape.contexts_per_block) as ahead:
            self._prepare(members, ahead)
            exchange = self._exchange(members, ahead, shape, count) if exchanged else None
            with made_ahead(self._blocks(members, ahead, shape)) as blocks:
                self._train(members, shape, blocks, exchange)
            if exchange:
                exchange.leave()
            skipped: int | None = ahead.position().get("skipped")
        if skipped:
            self.shared.progress.say(f"data={run.data.name}: rows without text, skipped: {skipped:,}")
        return skipped

    def _train(self, members: list[Member], shape: StreamShape, blocks: Blocks, exchange: Exchange | None) -> None:
        saved = time.monotonic()
        while training := [m for m in members if m.training]:
            index = min(shape.block_of(m.trainer.step) for m in training if m.trainer)
            present = [m for m in training if m.trainer and shape.block_of(m.trainer.step) == index]
            position = blocks.position()
            self._enter("activations", present)
            block = self._read_block(present, blocks, index, exchange)
            if block is not None:
                following = [m for m in training if shape.block_of(m.run.train.steps - 1) > index]
                if following and exchange is None and not self.shared.stop.is_set():
                    blocks.prepare(index + 1, {m.run.hook_name for m in following})
                self._enter("training", present)
                with Timer(self.shared.seconds, "training"):
                    for member in in_turn(present, index):
                        self._train_member(member, block)
            block = None  # its memory is for the next
            if self.shared.stop.is_set() or time.monotonic() - saved >= self.shared.execution.checkpoint_seconds:
                self._save(members, position)
                saved = time.monotonic()
            if self.shared.stop.is_set():
                self.shared.progress.write()
                raise Interrupted

    def _enter(self, phase: str, members: Sequence[Member]) -> None:
        self.shared.progress.enter(phase, [(member.run, member.folder) for member in members])

    def _exchange(self, members: Sequence[Member], source: ContextSource, shape: StreamShape, count: int) -> Exchange:
        assert self.circle is not None
        language_model, hooks, seed = self.shared.language_model, self.circle.hooks, members[0].run.seed
        return Exchange(
            self.circle, shape, lambda index: read_block(language_model, source, shape, hooks, index, seed), count,
            language_model.device, self.shared.stop.is_set,
        )  # fmt: skip

    def _blocks(self, members: Sequence[Member], source: ContextSource, shape: StreamShape) -> Blocks:
        language_model, seed = self.shared.language_model, members[0].run.seed
        return Blocks(
            lambda index, hooks: read_block(language_model, source, shape, sorted(hooks), index, seed),
            source.position, language_model.device, _has_room_for_two(language_model.device, members),
        )  # fmt: skip

    def _read_block(
        self, present: Sequence[Member], blocks: Blocks, index: int, exchange: Exchange | None
    ) -> Block | None:
        """The block that these runs train on next; None when `stop` was set before it was full."""
        with Timer(self.shared.seconds, "activations"):
            try:
                return exchange.read(index) if exchange else blocks.read(index, {m.run.hook_name for m in present})
            except Interrupted:
                return None

    def _prepare(self, members: list[Member], source: ContextSource) -> None:
        """Give each run that is not trained a trainer, at its last checkpoint if it has one; the source goes back."""
        positions: list[tuple[int, dict[str, Any]]] = []
        for member in members:
            with self.shared.roster.only(member):
                if record.is_trained(member.folder):
                    if record.is_whole_training(member.folder):
                        self.shared.progress.note(member.run, "already trained: evaluating")
                        record.write_settings(member.folder, member.run)
                        continue
                    record.forget_training(member.folder)
                kept = self._begin(member, self.shared.calibrations[member.run.hook_name], len(members))
                positions.append(
                    (member.trainer.step if member.trainer else 0, kept["source_position"] if kept else {})
                )
        earliest = min(positions, key=lambda p: p[0], default=(0, {}))[1]
        if earliest:
            source.restore(earliest)

    def _begin(self, member: Member, calibration: Calibration, together: int) -> dict[str, Any] | None:
        """Returns what was kept with the checkpoint that the run goes on from."""
        record.start_run(member.folder, member.run)
        trainer = Trainer(member.run, calibration, d_sae(member.run), self.shared.execution.history_every)
        kept = trainer.resume(checkpoints_folder(member.folder))
        member.tracker = open_tracker(member.run, member.folder, self.tracker)
        member.trainer = trainer
        self.shared.progress.begin(member.run, trainer.step)
        record.write_log(member.folder, f"begins at step {trainer.step:,}, {together} runs in its pack")
        if kept is not None:
            self._warn_of_other_code(member, kept)
        return kept

    def _warn_of_other_code(self, member: Member, kept: dict[str, Any]) -> None:
        before, now = kept["git"]["commit"], git_state()["commit"]
        if before != now:
            warning = f"warning: it was begun with commit {before}, and goes on with {now}"
            self.shared.progress.note(member.run, warning)
            record.write_log(member.folder, warning)

    def _train_member(self, member: Member, block: Block) -> None:
        assert member.trainer is not None
        with self.shared.roster.only(member):
            member.trainer.train_on(block, self.shared.stop)
            self.shared.progress.advance(member.run, member.trainer)
            self._track(member)
            if member.trainer.done:
                record.write_training(member.folder, member.trainer, self._folded(member.trainer))

    @staticmethod
    def _track(member: Member) -> None:
        if member.tracker and member.trainer:
            write_access.check(member.folder / HISTORY)
            member.tracker.write(member.trainer.history[member.tracked :])
            member.tracked = len(member.trainer.history)
            if member.trainer.done:
                member.tracker.close()

    def _save(self, members: list[Member], position: dict[str, Any]) -> None:
        for member in members:
            if member.trainer and not member.out and not record.is_trained(member.folder):
                with self.shared.roster.only(member):
                    kept = {"source_position": position, "git": git_state()}
                    member.trainer.save(checkpoints_folder(member.folder), kept)
                    record.write_log(member.folder, f"checkpoint at step {member.trainer.step:,}")

    @staticmethod
    def _folded(trainer: Trainer) -> SAE:
        folded = copy.deepcopy(trainer.sae)
        folded.fold_input_scale(trainer.scale)
        folded.fold_decoder_norm()
        return folded.requires_grad_(False)


def in_turn(members: Sequence[Member], index: int) -> list[Member]:
    """Another first at each block: on a GPU the first has the next block made beside it, which takes its time."""
    first = index % len(members)
    return [*members[first:], *members[:first]]


def _has_room_for_two(device: torch.device, members: Sequence[Member]) -> bool:
    """Whether a block can be made beside the steps on another: not on a CPU, whose cores they would only share."""
    if device.type != "cuda":
        return device.type != "cpu"
    runs = [member.run for member in members]
    ours = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return memory(runs, "cuda") + block_bytes(runs) <= SPARE * ours
