"""The evaluation of a pack's trained members, all in one pass over the held-out contexts, and their records."""

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
from pipeline.evaluation.sums import together
from pipeline.pack.members import Member, Shared
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
    """Evaluates and records the members of a pack that are trained."""

    shared: Shared
    runs: Sequence[RunConfig]  # of the whole pack
    skipped: int | None = None  # rows of a stream without text

    def evaluate(self, members: list[Member], contexts: Contexts) -> None:
        """Evaluate and record; where that fails for all together, each alone, so that only the culprit fails."""
        try:
            if members:
                self._evaluate_together(members, contexts)
            members = []
        except (Interrupted, UserError):
            raise
        except Exception as error:
            if self.shared.roster.is_shared(error):
                raise
            if len(members) == 1:
                self.shared.roster.fail(members[0], error)
            else:
                together = f"evaluating {len(members)} runs together failed ({error})"
                self.shared.progress.say(f"{together}: each is evaluated alone")
        for member in members:
            if not member.out:
                self.evaluate([member], contexts)

    def _evaluate_together(self, members: list[Member], contexts: Contexts) -> None:
        language_model = self.shared.language_model
        eval_batch, identity = members[0].run.eval.batch, reference_identity(members[0].run)
        progress, runs = self.shared.progress, [member.run for member in members]
        progress.enter("evaluating", [(member.run, member.folder) for member in members])
        progress.say(f"evaluating {len(members)} runs on {len(contexts):,} held-out contexts")
        with Timer(self.shared.seconds, "evaluation"):
            means = {m.run.hook_name: self.shared.calibrations[m.run.hook_name].mean for m in members}
            folder = shared_folder(Path(self.shared.execution.sweeps_dir))
            reference = references(language_model, contexts, eval_batch, means, identity, folder)
            candidates = {member.folder.name: self._candidate(member) for member in members}
            progress.enter("evaluating", [(member.run, member.folder) for member in members])
            sums = evaluate(
                language_model, contexts, eval_batch, candidates, self.shared.stop,
                lambda count: progress.evaluated(runs, count / len(contexts)),
            )  # fmt: skip
        tokens_hash = short_hash(contexts.tokens.tolist())
        for member in members:
            with self.shared.roster.only(member):
                self._record(member, reference, sums[member.folder.name], tokens_hash)

    def _candidate(self, member: Member) -> Candidate:
        sae = load_sae(member.folder).to(self.shared.language_model.device)
        return Candidate(member.run.hook_name, sae, self._thresholds(member.run))

    def _thresholds(self, run: RunConfig) -> list[float]:
        """Those of the configuration are meant on inputs with E||x||^2 = d_in, whatever the run was trained on."""
        unit = self.shared.calibrations[run.hook_name].scale("sqrt_d_in")
        return [below / unit for below in run.eval.prune_below]

    def _record(
        self, member: Member, reference: References, sums: list[dict[str, torch.Tensor]], tokens_hash: str
    ) -> None:
        run, hook, frequency = member.run, member.run.hook_name, member.run.eval.alive_frequency
        computed, *of_pruned = [metrics_of(each, reference, hook, frequency) for each in sums]
        evaluation = {
            "id": evaluation_identity(run), "tokens": tokens_hash, "clean": reference.stored["clean"],
            "ablated": reference.stored[hook], "alive": alive_rule(frequency, computed["evaluation_tokens"]),
        }  # fmt: skip
        pruned = [
            {"below": below, "below_unscaled": unscaled, **metrics}
            for below, unscaled, metrics in zip(run.eval.prune_below, self._thresholds(run), of_pruned, strict=True)
        ]
        record.write_execution(member.folder, self._execution_facts(member))
        training = training_facts(run, self.shared.calibrations[hook]) | {"dense_flops": training_dense_flops(run)}
        record.write_record(member.folder, run, evaluation, training, computed, together(sums), pruned)
        record.write_log(member.folder, "recorded")
        self.shared.progress.finished(run, computed)
        self.shared.roster.out(member)

    def _execution_facts(self, member: Member) -> dict[str, Any]:
        return {
            "pack": [run_name(run) for run in self.runs], "pack_seconds": dict(self.shared.seconds),
            "training_seconds": member.trainer.seconds if member.trainer else 0.0,
            "encoder_flops": encoder_flops(member.run) * member.run.train.steps,
            "language_model_forwards": self.shared.language_model.forwards,
            "stream_rows_without_text": self.skipped,
        } | process_facts(self.shared.language_model.device)  # fmt: skip
