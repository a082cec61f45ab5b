"""What names a run: its scientific configuration, never where or how it runs."""

import hashlib
import json
import subprocess
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pipeline.config.schema import EvalConfig, ModelConfig, RunConfig, evaluation_settings, plain
from pipeline.evaluation.user_metrics import user_metrics_identity
from pipeline.language_model.sites import d_sae
from pipeline.storage.files import short_hash
from pipeline.storage.places import BASE, CHECKOUT
from pipeline.tokens import text

TRAINING_VERSION = 5
"""Raised by hand whenever a change alters weights; part of every run's identity. Called `numerics_version` until 4."""
EVALUATION_VERSION = 3
"""Raised by hand whenever a metric is added or corrected; finished runs are then evaluated again, not trained."""


@lru_cache(maxsize=64)
def model_identity(model: ModelConfig) -> str:
    """Name and revision of a hub model, or name and digest of a local folder's contents."""
    if model.path is None:
        named = f"{model.hub_id}@{model.revision}"
    else:
        named = f"{model.name}@{_folder_digest(Path(model.path))}"
    if model.tokenizer_id is None:
        return named
    tokenizer = Path(model.tokenizer_id)
    return f"{named}+{_folder_digest(tokenizer) if tokenizer.is_dir() else model.tokenizer_id}"


IRRELEVANT = {".md", ".py", ".ipynb", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".lock", ".log"}


def _folder_digest(folder: Path) -> str:
    """Over every file that a model or tokenizer may be read from: all but text, images, code and hidden files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in within.parts)
        if hidden or path.suffix.lower() in IRRELEVANT or path.name.startswith(("LICENSE", "NOTICE", "README")):
            continue
        if path.is_file():
            digest.update(within.as_posix().encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


@lru_cache(maxsize=64)
def _data_identity(data: Any) -> str:
    return json.dumps(text.identity(data), sort_keys=True)


def token_identity(run: RunConfig) -> dict[str, Any]:
    """What the language model reads: model, dtype, contexts and text."""
    model = {"model": model_identity(run.model), "dtype": run.model.dtype, "context": run.model.context}
    return model | {"data": json.loads(_data_identity(run.data))}


def run_identity(run: RunConfig) -> dict[str, Any]:
    """Everything that decides a run's weights."""
    return token_identity(run) | {
        "hook_name": run.hook_name, "architecture": plain(run.architecture), "d_sae": d_sae(run),
        "sparsity_coefficient": run.sparsity_coefficient, "train": plain(run.train), "seed": run.seed,
        "training_version": TRAINING_VERSION,
    }  # fmt: skip


def run_name(run: RunConfig) -> str:
    """The run's folder: a readable slug and the hash of its identity. Computed once per run and process."""
    return _run_name(run, TRAINING_VERSION)


@cache
def _run_name(run: RunConfig, _version: int) -> str:
    return f"{run.slug}-{short_hash(run_identity(run))}"


def evaluation_identity(run: RunConfig) -> str:
    """Hash of the held-out tokens, the evaluation's settings and version, and the user's own metrics."""
    return _evaluation_hash(run, run.eval, EVALUATION_VERSION, tuple(user_metrics_identity().items()))


def reference_identity(run: RunConfig) -> str:
    """Hash of what clean and ablated losses depend on: not on pruning, nor on when a feature counts as alive."""
    evaluation = replace(run.eval, prune_below=(), alive_frequency=EvalConfig().alive_frequency)
    return _evaluation_hash(run, evaluation, EVALUATION_VERSION)


@cache
def _evaluation_hash(
    run: RunConfig, evaluation: EvalConfig, version: int, metrics: tuple[tuple[str, str], ...] = ()
) -> str:
    """Args: metrics: a user's own, which count where there are some."""
    content = [token_identity(run), text.held_out_identity(run.data), evaluation_settings(evaluation), version]
    return short_hash([*content, metrics] if metrics else content)


@cache
def pack_identity(run: RunConfig) -> str:
    """Runs with the same hash can be trained from one stream."""
    train = run.train
    stream = [train.lm_batch, train.batch, train.block, train.calibration, run.seed]
    return short_hash([token_identity(run), stream, text.held_out_identity(run.data), evaluation_settings(run.eval)])


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """Commit and whether the working tree differs from it; None outside a checkout."""
    if not CHECKOUT:  # a working directory, or a virtual environment, may lie in somebody's repository
        return {"commit": None, "dirty": None}
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(BASE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
