"""A sweep on disk as the brute force reads it: every file by itself, nothing through the pipeline."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

Panel = tuple[str, str, int, str, str]  # model, site, layer, data, evaluation
ArmKey = tuple[str, int]  # architecture, d_sae


@dataclass(frozen=True)
class Run:
    """One finished run: what its record says, and its sums document by document where they are on disk."""

    name: str
    panel: Panel
    arm: ArmKey
    point: str  # all settings but the seed
    seed: int
    metrics: dict[str, float]
    sums: dict[str, list[float]] | None  # tokens, l0, ce_sae, xhat_xhat, x_xhat and the references, by document
    pruned: tuple["Run", ...] = ()  # the same at each threshold below which activations count as zero

    @property
    def dead(self) -> bool:
        return self.metrics["l0"] == 0

    @property
    def finite(self) -> bool:
        return all(math.isfinite(self.metrics[name]) for name in ("l0", "ce_sae", "ce_clean"))


def read_runs(sweeps_dir: Path, sweep: str) -> list[Run]:
    """The finished runs of a sweep, in the order of the manifest."""
    manifest = json.loads((sweeps_dir / sweep / "manifest.json").read_text())
    folders = [sweeps_dir / "runs" / entry["run"] for entry in manifest["runs"]]
    return [_read(sweeps_dir, folder) for folder in folders if (folder / "metrics.json").is_file()]


def _read(sweeps_dir: Path, folder: Path) -> Run:
    record: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    settings, evaluation = record["settings"], record["evaluation"]
    others = {name: value for name, value in settings.items() if name != "seed"}
    metrics = {name: math.nan if value is None else value for name, value in record["metrics"].items()}
    panel = (
        record["identity"]["model"], settings["site"]["name"], settings["layer"], settings["data"]["name"],
        evaluation["id"],
    )  # fmt: skip
    arm = (settings["architecture"]["name"], record["training"]["d_sae"])
    paths = sweeps_dir / "shared", folder / "sequences.safetensors"
    run = Run(
        record["run"], panel, arm, json.dumps(others, sort_keys=True), settings["seed"], metrics,
        _by_document(*paths, evaluation, None),
    )  # fmt: skip
    pruned = [
        replace(
            run, point=f"{run.point} below {one['below']}", metrics=one, sums=_by_document(*paths, evaluation, place)
        )
        for place, one in enumerate(record.get("pruned", []))
    ]
    return replace(run, pruned=tuple(pruned))


def _by_document(
    shared: Path, path: Path, evaluation: dict[str, str], place: int | None
) -> dict[str, list[float]] | None:
    """Sums of a run as it is, or pruned at the threshold of this number."""
    paths = [path, *(shared / f"{evaluation[name]}.safetensors" for name in ("clean", "ablated"))]
    if not all(path.is_file() for path in paths):
        return None
    arrays: dict[str, np.ndarray] = {}
    for path in paths:
        arrays |= load_file(path)
    documents = arrays.pop("document")
    if place is not None:
        arrays |= {name: arrays[f"pruned_{name}"][place] for name in ("l0", "ce_sae")}
    return {
        name: [float(values[documents == document].sum()) for document in np.unique(documents)]
        for name, values in arrays.items()
        if values.shape == documents.shape
    }


def by_panel(runs: list[Run]) -> dict[Panel, dict[ArmKey, list[list[Run]]]]:
    """By panel and arm the points, each the runs that differ by their seed alone; what has died is in none."""
    found: dict[Panel, dict[ArmKey, dict[str, list[Run]]]] = {}
    for run in runs:
        if not run.dead and run.finite:
            found.setdefault(run.panel, {}).setdefault(run.arm, {}).setdefault(run.point, []).append(run)
    return {panel: {arm: list(points.values()) for arm, points in arms.items()} for panel, arms in found.items()}


def with_pruned(arm: Sequence[Sequence[Run]]) -> list[list[Run]]:
    """The points of an arm as it is, and pruned at every threshold."""
    pruned: dict[str, list[Run]] = {}
    for runs in arm:
        for run in runs:
            for one in run.pruned:
                pruned.setdefault(one.point, []).append(one)
    return [*map(list, arm), *pruned.values()]
