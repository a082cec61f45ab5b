"""A user's own metrics: metric_NAME.py in the folder metrics/ of the working directory."""

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.runtime.user_code import load, running, user_files

if TYPE_CHECKING:
    from torch import Tensor

FOLDER, BEGINNING = "metrics", "metric_"


def user_metrics(sums: dict[str, "Tensor"], metrics: dict[str, Any]) -> dict[str, float]:
    """What each file's `metric(sums, metrics)` returns, under the file's NAME.

    Args:
        sums: as `EvaluationSums.tensors` gives them.
        metrics: those that the pipeline computes.

    Raises:
        UserError: a file fails, returns no number, or has the name of one of ours.
    """
    found = {}
    for name, path in _files().items():
        if name in metrics:
            raise UserError(f"{path}: there is a metric of that name: expected another, as metric_my_{name}.py")
        with running(path):
            value = load(path).metric(sums, metrics)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{path}: metric returns {type(value).__name__}: expected a number (int or float)")
        found[name] = value if math.isfinite(value) else math.nan
    return found


def user_metrics_identity() -> dict[str, str]:
    """By name the digest of its file: a changed or another metric is another evaluation.

    A launch asks for this before it trains: a file that cannot be loaded is found now.

    Raises:
        UserError: a file cannot be loaded, or has no such function.
    """
    files = _files()
    for path in files.values():
        if not callable(getattr(load(path), "metric", None)):
            raise UserError(f"{path} has no function metric: expected metric(sums, metrics), which returns a number")
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for name, path in files.items()}


def _files() -> dict[str, Path]:
    return {path.stem.removeprefix(BEGINNING): path for path in user_files(FOLDER, BEGINNING)}
