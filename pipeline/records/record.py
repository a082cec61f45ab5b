"""What a run writes, and all that aggregation reads: complete or absent, `metrics.json` last.

Arrays and JSON contain their own checksums; cfg.json states those of weights and history, metrics.json all of them.

A run's folder holds config.yaml, cfg.json and sae_weights.safetensors, sequences.safetensors, history.csv,
execution.json, log.txt, and metrics.json once it is done, or failure.json if it failed. A second evaluation of the same
weights has its metrics.json and sequences.safetensors in evaluation-<hash>/.
"""

import math
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

from pipeline.config.schema import RunConfig, plain, settings
from pipeline.errors import DamagedFile, UserError
from pipeline.records.finished import read_attempts, record_folder
from pipeline.records.identity import EVALUATION_VERSION, TRAINING_VERSION, git_state, run_identity, run_name
from pipeline.records.settings_file import settings_fault, settings_text
from pipeline.sae.base import SAE
from pipeline.sae.saved import load_sae, saelens_model_name, save_sae
from pipeline.storage import layout
from pipeline.storage.files import (
    append_line,
    csv_text,
    file_state,
    remove,
    remove_folder,
    safetensors_bytes,
    write_bytes,
    write_checksummed,
    write_text,
)
from pipeline.storage.layout import (
    CONFIG,
    EVALUATION,
    EXECUTION,
    FAILURE,
    HISTORY,
    LOG,
    METRICS,
    SEQUENCES,
    SETTINGS,
    WEIGHTS,
    checkpoints_folder,
    shared_folder,
    sweeps_dir_of,
)
from pipeline.storage.phases import phase
from pipeline.storage.reading import GONE, other_run, problem, read_bytes, read_config, say
from pipeline.training.trainer import HISTORY_COLUMNS, Trainer

EARLY = 500
"""Steps in which many features are still active."""
SPARSE_SHARE = f"sparse_share_after_{EARLY}"
TRAINING_FLOPS = "training_flops"
PACKAGES = ("torch", "transformer-lens", "transformers", "numpy", "safetensors")


def run_folder(sweeps_dir: Path, run: RunConfig) -> Path:
    return layout.run_folder(sweeps_dir, run_name(run))


def is_trained(folder: Path) -> bool:
    """Whether the folder holds a trained SAE, judged without reading it; it may not have been evaluated yet."""
    return not problem(folder / CONFIG) and not problem(folder / WEIGHTS)


def is_whole_training(folder: Path) -> bool:
    """Whether the run's own SAE can be read as it was written; what is wrong is reported."""
    try:
        load_sae(folder)
        if why := other_run((read_config(folder) or {"metadata": {}})["metadata"], folder):
            raise DamagedFile(folder / CONFIG, why)
    except (DamagedFile, UserError) as error:
        say(f"{error}: the run is trained again")
        return False
    return True


@phase("configuration")
def start_run(folder: Path, run: RunConfig) -> None:
    """Write the run's configuration, and remove an earlier attempt's failure."""
    write_settings(folder, run)
    remove(folder / FAILURE)


def write_settings(folder: Path, run: RunConfig) -> None:
    """config.yaml, where it is absent or damaged."""
    if why := settings_fault(folder / SETTINGS):
        if why != GONE:
            say(f"{folder / SETTINGS}: {why}: it is written again")
        content = plain(run) | {"training_version": TRAINING_VERSION}
        write_text(folder / SETTINGS, settings_text(yaml.safe_dump(content, sort_keys=False), folder.name))


def forget_training(folder: Path) -> None:
    """Before damaged weights are trained again: remove the file that says that the run is trained."""
    remove(folder / CONFIG)


@phase("weights")
def write_training(folder: Path, trainer: Trainer, folded: SAE) -> None:
    """Write the history, and the SAE in SAELens' format, whose cfg.json comes last and means trained.

    Records of earlier, damaged weights are removed first.
    """
    run = trainer.run
    history = csv_text(trainer.history, HISTORY_COLUMNS).encode()
    metadata = {
        "model_name": saelens_model_name(run.model), "model_revision": run.model.revision,
        "hook_name": run.hook_name, "context_size": run.model.context,
        "dataset_path": run.data.dataset or run.data.name, "disable_concat_sequences": run.data.packing == "document",
        "architecture": plain(run.architecture), "sparsity_coefficient": run.sparsity_coefficient,
        "input_scale": trainer.scale, "run": folder.name, SPARSE_SHARE: sparse_share(trainer.history),
        TRAINING_FLOPS: trainer.flops, "files": {HISTORY: file_state(history)},
    }  # fmt: skip
    for path in (folder / METRICS, *folder.glob(f"{EVALUATION}*/{METRICS}")):
        remove(path)
    write_bytes(folder / HISTORY, history)
    save_sae(folded, folder, metadata)


def write_record(
    folder: Path, run: RunConfig, evaluation: Mapping[str, Any], training: Mapping[str, Any],
    metrics: Mapping[str, Any], sequences: Mapping[str, Tensor], pruned: Sequence[Mapping[str, Any]] = (),
) -> None:  # fmt: skip
    """Write a finished run's record, metrics.json last, then remove the checkpoints.

    Args:
        evaluation: id, hashes of tokens and references.
        training: facts that follow from the configuration and the data: widths, scale, epochs.
        pruned: metrics without the activations below each threshold, where the evaluation has thresholds.
    """
    target, config = record_folder(folder, evaluation["id"]), read_config(folder)
    if config is None:
        raise UserError(f"{folder / CONFIG} was removed while the run was evaluated: the same command trains it again")
    trained = config["metadata"]
    sums = safetensors_bytes(sequences)
    write_bytes(target / SEQUENCES, sums)
    files = trained["files"] | {
        CONFIG: file_state(read_bytes(folder / CONFIG)),
        (target / SEQUENCES).relative_to(folder).as_posix(): file_state(sums),
    }  # fmt: skip
    references = [f"{evaluation[name]}.safetensors" for name in ("clean", "ablated")]
    content = {
        "run": folder.name, "training_version": TRAINING_VERSION, "evaluation_version": EVALUATION_VERSION,
        "identity": run_identity(run), "settings": settings(run),
        "training": dict(training) | {name: trained.get(name) for name in (SPARSE_SHARE, TRAINING_FLOPS)},
        "evaluation": dict(evaluation),
        "metrics": _as_json(metrics), "files": files,
        "references": {name: (shared_folder(sweeps_dir_of(folder)) / name).stat().st_size for name in references},
        "provenance": provenance(),
    }  # fmt: skip
    if pruned:
        content["pruned"] = [_as_json(each) for each in pruned]
    write_checksummed(target / METRICS, content)
    remove_folder(checkpoints_folder(folder))


def _as_json(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Null where a metric has no value: JSON has no NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in metrics.items()}


def sparse_share(history: Sequence[Mapping[str, Any]]) -> float:
    """Share of a run's steps after EARLY that skipped the inactive features; 0 for a run with no step after EARLY."""
    rows = [(row["step"], row["sparse_steps"]) for row in history]
    (first, before), (last, in_all) = max((row for row in rows if row[0] <= EARLY), default=(0, 0)), rows[-1]
    return (in_all - before) / (last - first) if last > first else 0.0


def write_failure(folder: Path, error: BaseException, step: int) -> None:
    """Write why a run failed: type, message, step and traceback."""
    content = {
        "error": type(error).__name__, "reason": (str(error).splitlines() or [type(error).__name__])[0], "step": step,
        "traceback": "".join(traceback.format_exception(error)), "provenance": provenance(),
    }  # fmt: skip
    write_checksummed(folder / FAILURE, content)


def write_log(folder: Path, message: str) -> None:
    """Add a line to log.txt, with time and process; it covers all attempts."""
    append_line(folder / LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()}: {message}")


@phase("execution")
def write_execution(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add an attempt to execution.json: times, memory, host."""
    write_checksummed(folder / EXECUTION, {"run": folder.name, "attempts": [*read_attempts(folder), dict(facts)]})


def provenance() -> dict[str, Any]:
    versions = {name: version(name) for name in PACKAGES}
    return {"git": git_state(), "python": platform.python_version(), "packages": versions}
