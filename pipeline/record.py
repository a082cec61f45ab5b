"""What a run leaves on disk, and all that aggregation reads: complete or absent, `metrics.json` last.

Arrays and JSON carry their own checksums; that of history.csv is in cfg.json and in metrics.json.

A run's folder holds config.yaml, cfg.json and sae_weights.safetensors, sequences.safetensors, history.csv,
execution.json, log.txt, and metrics.json once it is done, or failure.json if it failed. A second evaluation of the same
weights has its metrics.json and sequences.safetensors in evaluation-<hash>/.
"""

import csv
import json
import logging
import os
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from pipeline.config import RunConfig, plain, settings
from pipeline.files import (
    csv_text,
    digest,
    is_as_stated,
    is_whole,
    plain_disk_errors,
    write_json,
    write_safetensors,
    write_sealed,
    write_text,
)
from pipeline.identity import EVALUATION_VERSION, TRAINING_VERSION, git_state, run_identity, run_name
from pipeline.sae.base import SAE
from pipeline.sae.saved import CONFIG, WEIGHTS, load_sae, saelens_model_name, save_sae
from pipeline.training.checkpoint import remove_checkpoints
from pipeline.training.trainer import HISTORY_COLUMNS, Trainer

log = logging.getLogger(__name__)

METRICS, SEQUENCES, HISTORY, FAILURE, EXECUTION = (
    "metrics.json", "sequences.safetensors", "history.csv", "failure.json", "execution.json",
)  # fmt: skip
HISTORY_DIGEST = "history_sha256"
EARLY = 500
"""Steps in which many features are still active."""
PACKAGES = ("torch", "transformer-lens", "transformers", "numpy", "safetensors")


def run_folder(sweeps_dir: Path, run: RunConfig) -> Path:
    return sweeps_dir / "runs" / run_name(run)


def shared_folder(sweeps_dir: Path) -> Path:
    """Where references live: losses that many runs share, named by hash."""
    return sweeps_dir / "shared"


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a file, or None where it is absent or damaged (which our own writing never leaves behind)."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        log.warning("%s is no JSON: it counts as absent", path)
        return None
    if not is_whole(content):
        log.warning("%s is damaged (its checksum differs): it counts as absent", path)
        return None
    return content


def record_folder(folder: Path, evaluation: str) -> Path:
    """Where the record of one evaluation is or will be: the run's folder, unless another evaluation has it."""
    first = read_json(folder / METRICS)
    if first is None or first["evaluation"]["id"] == evaluation:
        return folder
    return folder / f"evaluation-{evaluation}"


def read_record(folder: Path, evaluation: str) -> dict[str, Any] | None:
    """The record of one evaluation, or None where it, or the history that it vouches for, is absent or damaged."""
    content = read_json(record_folder(folder, evaluation) / METRICS)
    if content is not None and not is_as_stated(folder / HISTORY, content.get(HISTORY_DIGEST)):
        log.warning("%s is not what its record says: the record counts as absent", folder / HISTORY)
        return None
    return content


def is_trained(folder: Path) -> bool:
    """Whether the folder holds a finished SAE: its record may still wait for an evaluation."""
    return (folder / HISTORY).is_file() and (folder / WEIGHTS).is_file()


def is_whole_training(folder: Path) -> bool:
    """Whether what training left is as it was written: an SAE that can be read back by its cfg.json, its history."""
    try:
        load_sae(folder)
        if is_as_stated(folder / HISTORY, _history_digest(folder)):
            return True
        log.warning("%s is not as it was written", folder / HISTORY)
    except Exception as error:  # whatever a damaged cfg.json leads to
        log.warning("%s: its SAE cannot be read (%s: %s)", folder, type(error).__name__, error)
    return False


def _history_digest(folder: Path) -> str | None:
    stated: str | None = json.loads((folder / CONFIG).read_text())["metadata"].get(HISTORY_DIGEST)
    return stated


def start_run(folder: Path, run: RunConfig) -> None:
    """Write the run's configuration; warn when an earlier attempt ran other code."""
    folder.mkdir(parents=True, exist_ok=True)
    content = plain(run) | {"training_version": TRAINING_VERSION}
    write_text(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False))
    (folder / FAILURE).unlink(missing_ok=True)


def write_training(folder: Path, trainer: Trainer, folded: SAE) -> None:
    """What training leaves: the SAE in SAELens' format, and the history, which comes last."""
    run = trainer.run
    metadata = {
        "model_name": saelens_model_name(run.model), "model_revision": run.model.revision,
        "hook_name": run.hook_name, "context_size": run.model.context,
        "dataset_path": run.data.dataset or run.data.name, "disable_concat_sequences": run.data.packing == "document",
        "architecture": plain(run.architecture), "sparsity_coefficient": run.sparsity_coefficient,
        "input_scale": trainer.scale, "run": folder.name,
    }  # fmt: skip
    history = csv_text(trainer.history, HISTORY_COLUMNS)
    save_sae(folded, folder, metadata | {HISTORY_DIGEST: digest(history.encode())})
    write_text(folder / HISTORY, history)


def write_record(
    folder: Path, run: RunConfig, evaluation: Mapping[str, Any], training: Mapping[str, Any],
    metrics: Mapping[str, Any], sequences: Mapping[str, Tensor], pruned: Sequence[Mapping[str, Any]] = (),
) -> None:  # fmt: skip
    """Write a finished run's record; metrics.json appears last, and then the checkpoints go.

    Args:
        evaluation: id, hashes of tokens and references.
        training: facts that follow from the configuration only together with the data: widths, scale, epochs.
        pruned: metrics without the activations below each threshold, where the evaluation asks for some.
    """
    target = record_folder(folder, evaluation["id"])
    write_safetensors(target / SEQUENCES, sequences)
    content = {
        "run": folder.name, "training_version": TRAINING_VERSION, "evaluation_version": EVALUATION_VERSION,
        "identity": run_identity(run), "settings": settings(run),
        "training": dict(training) | sparse_share(folder), "evaluation": dict(evaluation), "metrics": dict(metrics),
        HISTORY_DIGEST: _history_digest(folder), "provenance": provenance(),
    }  # fmt: skip
    if pruned:
        content["pruned"] = [dict(each) for each in pruned]
    write_sealed(target / METRICS, content)
    remove_checkpoints(folder / "checkpoints")


def sparse_share(folder: Path) -> dict[str, float]:
    """The share of a run's steps after EARLY that left the silent features out; 0 for a run that is no longer."""
    with (folder / HISTORY).open() as file:
        rows = [(int(row["step"]), int(row["sparse_steps"])) for row in csv.DictReader(file)]
    (first, before), (last, in_all) = max((row for row in rows if row[0] <= EARLY), default=(0, 0)), rows[-1]
    return {f"sparse_share_after_{EARLY}": (in_all - before) / (last - first) if last > first else 0.0}


def write_failure(folder: Path, error: BaseException, step: int) -> None:
    """Why a run failed: its type, its message and where."""
    content = {
        "error": type(error).__name__, "reason": (str(error).splitlines() or [type(error).__name__])[0], "step": step,
        "traceback": "".join(traceback.format_exception(error)), "provenance": provenance(),
    }  # fmt: skip
    write_json(folder / FAILURE, content)


def write_log(folder: Path, message: str) -> None:
    """Add a line to log.txt, with the time and the process: what befell the run, over all its attempts."""
    with plain_disk_errors(folder), (folder / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()}: {message}\n")


def write_execution(folder: Path, facts: Mapping[str, Any]) -> None:
    """Times, memory and host; attempts accumulate."""
    earlier = read_json(folder / EXECUTION) or {"attempts": []}
    write_json(folder / EXECUTION, {"attempts": [*earlier["attempts"], dict(facts)]})


def provenance() -> dict[str, Any]:
    versions = {name: version(name) for name in PACKAGES}
    return {"git": git_state(), "python": platform.python_version(), "packages": versions}
