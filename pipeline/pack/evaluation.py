"""The evaluation of a pack's trained runs, all in one pass over the held-out contexts, and their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.blocks import training_facts
from pipeline.config.schema import RunConfig
from pipeline.errors import Interrupted, UserError
from pipeline.estimates.compute import encoder_flops, training_dense_flops
from pipeline.evaluation.evaluate import Candidate, evaluate, metrics_of
from pipeline.evaluation.metrics import alive_rule
from pipeline.evaluation.references import References, references
from pipeline.evaluation.sums import stack_sums
from pipeline.pack.states import RunState, Shared
from pipeline.records import record
from pipeline.records.identity import evaluation_identity, reference_identity, run_name
from pipeline.runtime.device import process_facts
from pipeline.runtime.durations import Timer
from pipeline.sae.saved import load_sae
from pipeline.storage.files import short_hash
from pipeline.storage.layout import shared_folder
from pipeline.tokens.contexts import Contexts


@dataclass
class Evaluation:
    """Evaluates and records the trained runs of a pack."""

    shared: Shared
    runs: Sequence[RunConfig]  # of the whole pack
    skipped: int | None = None  # rows without text in a streamed dataset

    def evaluate(self, states: list[RunState], contexts: Contexts) -> None:
        """Evaluate and record all together; if that fails, each alone, so that only the run at fault fails."""
        try:
            if states:
                self._evaluate_together(states, contexts)
            states = []
        except (Interrupted, UserError):
            raise
        except Exception as error:
            if self.shared.pack.is_shared(error):
                raise
            if len(states) == 1:
                self.shared.pack.fail(states[0], error)
            else:
                together = f"evaluating {len(states)} runs together failed ({error})"
                self.shared.progress.say(f"{together}: each is evaluated alone")
        for state in states:
            if state.active:
                self.evaluate([state], contexts)

    def _evaluate_together(self, states: list[RunState], contexts: Contexts) -> None:
        language_model = self.shared.language_model
        eval_batch, identity = states[0].run.eval.batch, reference_identity(states[0].run)
        progress, runs = self.shared.progress, [state.run for state in states]
        progress.enter("evaluating", [(state.run, state.folder) for state in states])
        progress.say(f"evaluating {len(states)} runs on {len(contexts):,} held-out contexts")
        with Timer(self.shared.seconds, "evaluation"):
            means = {m.run.hook_name: self.shared.calibrations[m.run.hook_name].mean for m in states}
            folder = shared_folder(Path(self.shared.execution.sweeps_dir))
            reference = references(language_model, contexts, eval_batch, means, identity, folder)
            candidates = {state.folder.name: self._candidate(state) for state in states}
            progress.enter("evaluating", [(state.run, state.folder) for state in states])
            sums = evaluate(
                language_model, contexts, eval_batch, candidates, self.shared.stop,
                lambda count: progress.evaluated(runs, count / len(contexts)),
            )  # fmt: skip
        tokens_hash = short_hash(contexts.tokens.tolist())
        for state in states:
            with self.shared.pack.isolate(state):
                self._record(state, reference, sums[state.folder.name], tokens_hash)

    def _candidate(self, state: RunState) -> Candidate:
        sae = load_sae(state.folder).to(self.shared.language_model.device)
        return Candidate(state.run.hook_name, sae, self._thresholds(state.run))

    def _thresholds(self, run: RunConfig) -> list[float]:
        """For unscaled inputs: `eval.prune_below` is for inputs with E||x||^2 = d_in, whatever the run trained on."""
        unit = self.shared.calibrations[run.hook_name].scale("sqrt_d_in")
        return [below / unit for below in run.eval.prune_below]

    def _record(
        self, state: RunState, reference: References, sums: list[dict[str, torch.Tensor]], tokens_hash: str
    ) -> None:
        run, hook, frequency = state.run, state.run.hook_name, state.run.eval.alive_frequency
        computed, *of_pruned = [metrics_of(each, reference, hook, frequency) for each in sums]
        evaluation = {
            "id": evaluation_identity(run), "tokens": tokens_hash, "clean": reference.stored["clean"],
            "ablated": reference.stored[hook], "alive": alive_rule(frequency, computed["evaluation_tokens"]),
        }  # fmt: skip
        pruned = [
            {"below": below, "below_unscaled": unscaled, **metrics}
            for below, unscaled, metrics in zip(run.eval.prune_below, self._thresholds(run), of_pruned, strict=True)
        ]
        record.write_execution(state.folder, self._execution_facts(state))
        training = training_facts(run, self.shared.calibrations[hook]) | {"dense_flops": training_dense_flops(run)}
        record.write_record(state.folder, run, evaluation, training, computed, stack_sums(sums), pruned)
        record.write_log(state.folder, "recorded")
        self.shared.progress.finished(run, computed)
        self.shared.pack.release(state)

    def _execution_facts(self, state: RunState) -> dict[str, Any]:
        return {
            "pack": [run_name(run) for run in self.runs], "pack_seconds": dict(self.shared.seconds),
            "training_seconds": state.trainer.seconds if state.trainer else 0.0,
            "encoder_flops": encoder_flops(state.run) * state.run.train.steps,
            "language_model_forwards": self.shared.language_model.forwards,
            "stream_rows_without_text": self.skipped,
        } | process_facts(self.shared.language_model.device)  # fmt: skip
