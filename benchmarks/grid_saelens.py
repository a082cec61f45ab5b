"""The grid by SAELens' MultiSAETrainingRunner: `python -m benchmarks.grid_saelens FOLDER`, in the peers' environment.

Settings: fp32, no autocast, a buffer of whole contexts as large as our block, the batch of the language model that the
others have, a sample for the input scale as large as ours (its default would double the language model's work), no
prefetching thread on two cores, no logging, no checkpoints; its own evaluation (`run_evals`) on the held-out
contexts, as the runner calls it, from a store of its own for each SAE, since its stores never rewind.
"""

import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.grid_work import TOKENS, Result, Work
from benchmarks.peer_timing import Phases

NAMES = {"gated": "gated", "standard": "baseline"}


def main(folder: Path) -> None:
    work, phases = Work.read(folder.parent), Phases()
    with phases.phase("load"):
        import torch
        from datasets import Dataset
        from sae_lens import MultiSAETrainingRunner
        from sae_lens.training.activations_store import ActivationsStore
        from sae_lens.training.multi_sae_trainer import MultiSAETrainer
        from sae_lens.training.sae_trainer import SAETrainer
        from safetensors.torch import load_file, save_file

        torch.set_num_threads(work.threads)
        torch.manual_seed(work.seed)
        tokens = load_file(folder.parent / TOKENS)
        rows = {name: Dataset.from_dict({"input_ids": value.tolist()}) for name, value in tokens.items()}
        runner = MultiSAETrainingRunner(_config(work), override_dataset=rows["training"])
    phases.wrap(SAETrainer, "step", lambda trainer: f"steps, {NAMES[trainer.sae.cfg.architecture()]}")
    phases.wrap(ActivationsStore, "get_multi_hook_activations", lambda _: "language model")
    phases.wrap(MultiSAETrainer, "fit", lambda _: "stream and loop")
    saes = runner.run()
    with phases.phase("evaluation"):
        for name, sae in saes.items():
            _evaluate(work, runner, rows["held_out"], name, sae)
    for name, sae in saes.items():
        save_file({k: v.detach().contiguous() for k, v in sae.named_parameters()}, folder / f"{name}.safetensors")
    Result(
        tool="SAELens", versions={name: version(name) for name in ("sae-lens", "torch", "transformers")},
        settings={
            "learning rate": work.learning_rates["SAELens"], "adam betas": [0.0, 0.999], "precision": "float32",
            "normalize_activations": "expected_average_only_in", "n_batches_in_buffer": work.block // work.context,
            "store_batch_size_prompts": work.lm_batch, "prefetch_llm_batches": False,
            "gradient norm clipped": 1.0, "evaluation": "run_evals, a store for each SAE",
        },
        phases=dict(phases.seconds),
        by_arm={arm: phases.seconds[f"steps, {arm}"] for arm in work.widths},
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    ).write(folder)  # fmt: skip


def _config(work: Work) -> Any:
    from sae_lens import GatedTrainingSAEConfig, MultiSAETrainingRunnerConfig, StandardTrainingSAEConfig
    from sae_lens.config import LoggingConfig

    configs = {"gated": GatedTrainingSAEConfig, "baseline": StandardTrainingSAEConfig}
    # Its inputs are scaled so that the mean norm is sqrt(d_in), ours so that the root mean square is.
    scale = 1 / work.mean_norm_over_rms
    saes = {
        name: configs[architecture](
            d_in=work.d_in, d_sae=work.widths[architecture], l1_coefficient=value * scale,
            normalize_activations="expected_average_only_in",
        )
        for name, architecture, value in work.runs()
    }  # fmt: skip
    return MultiSAETrainingRunnerConfig(
        saes=saes, hook_names=work.module, model_name=work.model, model_class_name="AutoModelForCausalLM",
        dataset_path="", streaming=False, context_size=work.context, n_batches_in_buffer=work.block // work.context,
        training_tokens=work.training_tokens, store_batch_size_prompts=work.lm_batch,
        train_batch_size_tokens=work.batch, lr=work.learning_rates["SAELens"], adam_beta1=0.0, adam_beta2=0.999,
        lr_warm_up_steps=work.warmup, lr_decay_steps=work.decay, lr_end=0.0, device="cpu", seed=work.seed,
        exclude_special_tokens=True, n_batches_for_norm_estimate=max(1, work.calibration // work.batch),
        logger=LoggingConfig(log_to_wandb=False), checkpoint_path=None, output_path=None,
    )  # fmt: skip


def _evaluate(work: Work, runner: Any, held_out: Any, name: str, sae: Any) -> None:
    """What its own evaluator does for one SAE, on the held-out rows from their beginning."""
    from sae_lens.multi_sae_training_runner import MultiSAEEvaluator
    from sae_lens.training.activation_scaler import ActivationScaler
    from sae_lens.training.activations_store import ActivationsStore

    special = runner.activations_store.exclude_special_tokens
    store = ActivationsStore.from_config_multi_hook(
        model=runner.model, dataset=held_out, hook_names=[work.module], hook_d_ins={work.module: work.d_in},
        streaming=False, context_size=work.context, store_batch_size_prompts=work.lm_batch,
        train_batch_size_tokens=work.batch, exclude_special_tokens=special, total_training_tokens=1,
    )  # fmt: skip
    evaluator = MultiSAEEvaluator(
        model=runner.model, activations_store=store, eval_batch_size_prompts=work.lm_batch,
        n_eval_batches=work.held_out // work.lm_batch, model_kwargs={},
    )  # fmt: skip
    sae.eval()
    measured = evaluator({name: sae}, iter(()), {name: ActivationScaler()}, {name: work.module})
    flat = {k: v for group in measured.values() for k, v in (group.items() if isinstance(group, dict) else ())}
    print(f"{name}: its own L0 {flat['l0']:.2f}, loss recovered {flat['ce_loss_score']:.4f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
