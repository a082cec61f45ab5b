"""The training of a pack: on each block of activations, the runs take their steps one after the other."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.activations.block_cache import BlockCache, SharingGroup
from pipeline.activations.blocks import Block, Calibration, StreamShape, read_block
from pipeline.activations.prefetch import PrefetchedBlocks
from pipeline.config.schema import TrackerConfig
from pipeline.errors import Interrupted
from pipeline.estimates.compute import SPARE, block_bytes, memory
from pipeline.language_model.sites import d_sae
from pipeline.monitoring.tracker import open_tracker
from pipeline.pack.states import RunState, Shared
from pipeline.records import record
from pipeline.records.identity import git_state
from pipeline.runtime.durations import Timer
from pipeline.sae.base import SAE
from pipeline.storage import write_access
from pipeline.storage.layout import HISTORY, checkpoints_folder
from pipeline.tokens.prefetch import PrefetchedContexts
from pipeline.tokens.sources import ContextSource, training_contexts
from pipeline.training.trainer import Trainer


@dataclass
class Training:
    """Trains the runs of a pack that are not trained yet."""

    shared: Shared
    tracker: TrackerConfig
    sharing: SharingGroup | None = None

    def train(self, states: list[RunState]) -> int | None:
        """Train them.

        Returns:
            Of a streamed dataset: how many rows without text were skipped, as far as it was read.
        """
        run = states[0].run
        shape = StreamShape.of(run.train, run.model.context)
        count = 1 + shape.block_of(max(state.run.train.steps for state in states) - 1)
        source = training_contexts(run.model, run.data, run.seed)
        shared = self.sharing is not None and not source.position()  # only if the text can be read in any order
        with PrefetchedContexts(source, 0 if shared else count * shape.contexts_per_block) as contexts:
            self._prepare(states, contexts)
            cache = self._cache(states, contexts, shape, count) if shared else None
            with self._blocks(states, contexts, shape) as blocks:
                self._train(states, shape, blocks, cache)
            if cache:
                cache.close()
            skipped: int | None = contexts.position().get("skipped")
        if skipped:
            self.shared.progress.say(f"data={run.data.name}: rows without text, skipped: {skipped:,}")
        return skipped

    def _train(
        self, states: list[RunState], shape: StreamShape, blocks: PrefetchedBlocks, cache: BlockCache | None
    ) -> None:
        saved = time.monotonic()
        while training := [state for state in states if state.training]:
            index = min(shape.block_of(state.trainer.step) for state in training if state.trainer)
            present = [state for state in training if state.trainer and shape.block_of(state.trainer.step) == index]
            position = blocks.position()
            self._enter("activations", present)
            block = self._read_block(present, blocks, index, cache)
            if block is not None:
                following = [state for state in training if shape.block_of(state.run.train.steps - 1) > index]
                if following and cache is None and not self.shared.stop.is_set():
                    blocks.prefetch(index + 1, {state.run.hook_name for state in following})
                self._enter("training", present)
                with Timer(self.shared.seconds, "training"):
                    for state in in_turn(present, index):
                        self._train_run(state, block)
            block = None  # frees its memory before the next
            if self.shared.stop.is_set() or time.monotonic() - saved >= self.shared.execution.checkpoint_seconds:
                self._save(states, position)
                saved = time.monotonic()
            if self.shared.stop.is_set():
                self.shared.progress.write()
                raise Interrupted

    def _enter(self, phase: str, states: Sequence[RunState]) -> None:
        self.shared.progress.enter(phase, [(state.run, state.folder) for state in states])

    def _cache(self, states: Sequence[RunState], source: ContextSource, shape: StreamShape, count: int) -> BlockCache:
        assert self.sharing is not None
        language_model, hooks, seed = self.shared.language_model, self.sharing.hooks, states[0].run.seed
        return BlockCache(
            self.sharing, shape, lambda index: read_block(language_model, source, shape, hooks, index, seed), count,
            language_model.device, self.shared.stop.is_set,
        )  # fmt: skip

    def _blocks(self, states: Sequence[RunState], source: ContextSource, shape: StreamShape) -> PrefetchedBlocks:
        language_model, seed = self.shared.language_model, states[0].run.seed
        return PrefetchedBlocks(
            lambda index, hooks: read_block(language_model, source, shape, sorted(hooks), index, seed),
            source.position, language_model.device, _has_room_for_two(language_model.device, states),
        )  # fmt: skip

    def _read_block(
        self, present: Sequence[RunState], blocks: PrefetchedBlocks, index: int, cache: BlockCache | None
    ) -> Block | None:
        """The block that these runs train on next; None if `stop` was set before it was complete."""
        with Timer(self.shared.seconds, "activations"):
            try:
                return cache.read(index) if cache else blocks.read(index, {state.run.hook_name for state in present})
            except Interrupted:
                return None

    def _prepare(self, states: list[RunState], source: ContextSource) -> None:
        """Give each untrained run a trainer, at its last checkpoint if it has one; move the source to the earliest."""
        positions: list[tuple[int, dict[str, Any]]] = []
        for state in states:
            with self.shared.pack.isolate(state):
                if record.is_trained(state.folder):
                    if record.is_whole_training(state.folder):
                        self.shared.progress.note(state.run, "already trained: evaluating")
                        record.write_settings(state.folder, state.run)
                        continue
                    record.forget_training(state.folder)
                kept = self._begin(state, self.shared.calibrations[state.run.hook_name], len(states))
                positions.append((state.trainer.step if state.trainer else 0, kept["source_position"] if kept else {}))
        earliest = min(positions, key=lambda p: p[0], default=(0, {}))[1]
        if earliest:
            source.restore(earliest)

    def _begin(self, state: RunState, calibration: Calibration, pack_size: int) -> dict[str, Any] | None:
        """Start a run or resume it. Returns what its checkpoint keeps for the pack; None without a checkpoint."""
        record.start_run(state.folder, state.run)
        trainer = Trainer(state.run, calibration, d_sae(state.run), self.shared.execution.history_every)
        kept = trainer.resume(checkpoints_folder(state.folder))
        state.tracker = open_tracker(state.run, state.folder, self.tracker)
        state.trainer = trainer
        self.shared.progress.begin(state.run, trainer.step)
        record.write_log(state.folder, f"begins at step {trainer.step:,}, {pack_size} runs in its pack")
        if kept is not None:
            self._warn_of_other_code(state, kept)
        return kept

    def _warn_of_other_code(self, state: RunState, kept: dict[str, Any]) -> None:
        before, now = kept["git"]["commit"], git_state()["commit"]
        if before != now:
            warning = f"warning: it began with commit {before} and continues with {now}"
            self.shared.progress.note(state.run, warning)
            record.write_log(state.folder, warning)

    def _train_run(self, state: RunState, block: Block) -> None:
        assert state.trainer is not None
        with self.shared.pack.isolate(state):
            state.trainer.train_on(block, self.shared.stop)
            self.shared.progress.advance(state.run, state.trainer)
            self._track(state)
            if state.trainer.done:
                record.write_training(state.folder, state.trainer, self._folded(state.trainer))

    @staticmethod
    def _track(state: RunState) -> None:
        if state.tracker and state.trainer:
            write_access.check(state.folder / HISTORY)
            state.tracker.write(state.trainer.history[state.rows_tracked :])
            state.rows_tracked = len(state.trainer.history)
            if state.trainer.done:
                state.tracker.close()

    def _save(self, states: list[RunState], position: dict[str, Any]) -> None:
        for state in states:
            if state.trainer and state.active and not record.is_trained(state.folder):
                with self.shared.pack.isolate(state):
                    kept = {"source_position": position, "git": git_state()}
                    state.trainer.save(checkpoints_folder(state.folder), kept)
                    record.write_log(state.folder, f"checkpoint at step {state.trainer.step:,}")

    @staticmethod
    def _folded(trainer: Trainer) -> SAE:
        folded = copy.deepcopy(trainer.sae)
        folded.fold_input_scale(trainer.scale)
        folded.fold_decoder_norm()
        return folded.requires_grad_(False)


def in_turn(states: Sequence[RunState], index: int) -> list[RunState]:
    """Rotate who is first: on a GPU the next block is computed during the first run's steps, which slows them down."""
    first = index % len(states)
    return [*states[first:], *states[:first]]


def _has_room_for_two(device: torch.device, states: Sequence[RunState]) -> bool:
    """Whether a second block fits in memory; on a CPU never, where computing it only takes cores from the steps."""
    if device.type != "cuda":
        return device.type != "cpu"
    runs = [state.run for state in states]
    available = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return memory(runs, "cuda") + block_bytes(runs) <= SPARE * available
