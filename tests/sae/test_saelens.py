"""What we save is whole for SAELens: its loader, its evaluator and its store of activations (docs/saelens.md).

The library itself is asked where its environment is (make saelens-check makes it).
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.config.schema import DataConfig, ModelConfig
from pipeline.evaluation.evaluate import Candidate, evaluate, metrics_of
from pipeline.evaluation.references import references
from pipeline.language_model.loading import load_language_model
from pipeline.sae import load_sae
from pipeline.sae.base import SAE
from pipeline.sae.saved import saelens_model_name
from pipeline.storage.places import BASE
from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import evaluation_contexts

READ: dict[str, Any] = {
    "sae_lens_version": str, "sae_lens_training_version": type(None), "model_name": str, "model_class_name": str,
    "hook_name": str, "hook_head_index": type(None), "model_from_pretrained_kwargs": dict, "prepend_bos": bool,
    "context_size": int, "dataset_path": str, "seqpos_slice": list, "exclude_special_tokens": bool,
    "disable_concat_sequences": bool, "dataset_trust_remote_code": bool, "neuronpedia_id": type(None),
}  # fmt: skip
"""What SAELens 6.54 and SAEBench 0.6 read of the metadata, with its types."""


def folders(undisturbed: Path) -> Iterator[Path]:
    yield from sorted((undisturbed / "runs").iterdir())


@pytest.mark.slow
def test_metadata_is_whole(undisturbed: Path) -> None:
    assert len(list(folders(undisturbed))) == 4
    for folder in folders(undisturbed):
        metadata = json.loads((folder / "cfg.json").read_text())["metadata"]
        for name, kind in READ.items():
            assert name in metadata and type(metadata[name]) is kind, name
        assert metadata["sae_lens_version"].startswith("6.") and metadata["seqpos_slice"] == [None]
        assert metadata["hook_name"] == "blocks.1.hook_mlp_out" and metadata["context_size"] == 32


@pytest.mark.parametrize(
    ("model", "name"),
    [(ModelConfig(name="gpt2", hub_id="openai-community/gpt2"), "gpt2"), (ModelConfig(name="mine", path="/x"), "mine"),
     (ModelConfig(name="p", hub_id="EleutherAI/pythia-70m"), "EleutherAI/pythia-70m")],
)  # fmt: skip
def test_models_are_called_as_transformer_lens_3_calls_them(model: ModelConfig, name: str) -> None:
    assert saelens_model_name(model) == name


PEERS = BASE / ".venv-peers" / "bin" / "python"

HOOK = "blocks.1.hook_mlp_out"

if PEERS.exists():

    @pytest.mark.slow
    def test_saelens_loads_and_evaluates_runs_to_the_same_numbers(
        undisturbed: Path, tiny_model: Path, tiny_text: Path, tmp_path: Path
    ) -> None:
        model = ModelConfig(name="local", path=str(tiny_model), context=32, layer=0)
        data = DataConfig(name="files", source="files", path=str(tiny_text), packing="document")
        held_out = evaluation_contexts(model, data, 8)
        x = torch.randn(50, 32, generator=torch.Generator().manual_seed(0))
        save_file({"tokens": held_out.tokens, "x": x}, tmp_path / "inputs.safetensors")
        script = Path(__file__).parent / "in_saelens.py"
        words = [
            PEERS,
            script,
            undisturbed / "runs",
            tiny_model,
            tmp_path / "inputs.safetensors",
            tmp_path / "out.json",
        ]
        asked = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        assert asked.returncode == 0, asked.stderr[-3000:]
        theirs = json.loads((tmp_path / "out.json").read_text())
        tensors = load_file(tmp_path / "out.safetensors")
        ours = evaluated(model, held_out, list(folders(undisturbed)), tmp_path)
        for folder in folders(undisturbed):
            same_tensors(load_sae(folder), folder.name, tensors, x)
            same_metrics(theirs[folder.name], ours[folder.name])
            assert theirs[folder.name]["metadata"]["context_size"] == 32  # ours, not what it makes of an older file


def evaluated(model: ModelConfig, held_out: Contexts, runs: list[Path], folder: Path) -> dict[str, dict[str, Any]]:
    language_model = load_language_model(model, torch.device("cpu"))
    candidates = {run.name: Candidate(HOOK, load_sae(run)) for run in runs}
    sums = evaluate(language_model, held_out, 4, candidates, threading.Event())
    reference = references(language_model, held_out, 4, {HOOK: torch.zeros(32)}, "saelens", folder)
    return {name: metrics_of(found[0], reference, HOOK, 1e-4) for name, found in sums.items()}


def same_tensors(sae: SAE, name: str, tensors: dict[str, torch.Tensor], x: torch.Tensor) -> None:
    torch.testing.assert_close(tensors[f"{name} f"], sae.encode(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tensors[f"{name} x_hat"], sae(x), atol=1e-5, rtol=1e-5)


def same_metrics(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    pairs = {
        "l0": ours["l0"], "explained_variance": 1 - ours["fvu"], "ce_loss_without_sae": ours["ce_clean"],
        "ce_loss_with_sae": ours["ce_sae"],
    }  # fmt: skip
    for name, value in pairs.items():
        assert theirs[name] == pytest.approx(value, abs=1e-4, rel=1e-4), name
    assert theirs["ce_loss_with_ablation"] == pytest.approx(ours["ce_zero"], abs=0.02)  # it ablates BOS too
