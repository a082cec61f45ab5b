"""What SAELens makes of runs: `python in_saelens.py RUNS MODEL INPUTS OUTPUT`, in the peers' environment.

INPUTS has `tokens` [contexts, pos], the held-out ones, and `x` [n, d_in]. OUTPUT gets the metrics of its evaluator, and
beside it a file of what its SAEs encode and decode.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sae_lens import SAE
from sae_lens.evals import EvalConfig, run_evals
from sae_lens.training.activation_scaler import ActivationScaler
from sae_lens.training.activations_store import ActivationsStore
from safetensors.torch import load_file, save_file
from transformer_lens.model_bridge import TransformerBridge


def main(runs: Path, model: Path, inputs: Path, output: Path) -> None:
    torch.set_num_threads(1)
    given = load_file(inputs)
    language_model = TransformerBridge.boot_transformers(str(model), device="cpu")
    metrics: dict[str, Any] = {}
    tensors: dict[str, torch.Tensor] = {}
    for folder in sorted(runs.iterdir()):
        sae = SAE.load_from_disk(folder)
        features = sae.encode(given["x"])
        tensors |= {f"{folder.name} f": features, f"{folder.name} x_hat": sae.decode(features)}
        metrics[folder.name] = {"metadata": sae.cfg.metadata.to_dict()} | _evaluate(
            sae, language_model, given["tokens"]
        )
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, output.with_suffix(".safetensors")
    )
    output.write_text(json.dumps(metrics))


def _evaluate(sae: Any, language_model: Any, tokens: torch.Tensor) -> dict[str, float]:
    store = ActivationsStore.from_sae(
        language_model, sae, Dataset.from_dict({"input_ids": tokens.tolist()}), streaming=False,
        store_batch_size_prompts=4, train_batch_size_tokens=32, n_batches_in_buffer=2, total_tokens=1,
    )  # fmt: skip
    config = EvalConfig(
        batch_size_prompts=4, n_eval_reconstruction_batches=len(tokens) // 4, compute_ce_loss=True,
        n_eval_sparsity_variance_batches=len(tokens) // 4, compute_sparsity_metrics=True, compute_variance_metrics=True,
        compute_l2_norms=True,
    )  # fmt: skip
    found, _ = run_evals(sae, store, language_model, ActivationScaler(), config)
    return {name: value for group in found.values() for name, value in group.items()}


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
