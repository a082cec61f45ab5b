"""Which fronts are compared, and under which name: a comparison must say what it holds equal."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.curves import Floats
from pipeline.frontier import ARM, as_floats, point_numbers

BASELINE, GATED = "baseline", "gated"
SAME_WIDTH = 0.02
"""Widths that differ by no more than this share count as equal, or as 1.5 to 1."""
SAME_COST = 0.10
"""As much for training FLOPs and seconds."""
MATMULS = {BASELINE: 5, GATED: 7, "gated_unfrozen": 8}
"""Products of size d_in x d_sae a training step takes for each input: forward 2 and backward 3; gated decodes twice and
its frozen second decoder has no gradient of weights, so 3 and 4; where none is frozen, 3 and 5."""


@dataclass(frozen=True)
class Front:
    """The finished runs of one arm in one panel, sorted by point; only those in which some feature fires."""

    architecture: str
    d_sae: int
    runs: npt.NDArray[np.intp]  # rows of the panel's table
    starts: npt.NDArray[np.intp]  # where in `runs` each point begins
    alive: Floats  # [points] mean alive fraction
    cost: dict[str, float]  # medians over runs: flops, seconds; NaN where unknown
    machines: frozenset[tuple[str, ...]]  # devices and numbers of threads that the runs were trained with

    def summed(self, values: Floats) -> Floats:
        """[replicates, runs of the panel] values to [replicates, points] sums over each point's runs."""
        sums: Floats = np.add.reduceat(values[:, self.runs], self.starts, axis=1)
        return sums

    def averaged(self, values: Floats) -> Floats:
        """As `summed`, but means."""
        return self.summed(values) / np.diff(self.starts, append=len(self.runs))


@dataclass(frozen=True)
class Pair:
    """Two fronts and every name under which they may be compared."""

    baseline: Front
    gated: Front
    names: tuple[str, ...]


def fronts_of(panel: pd.DataFrame) -> list[Front]:
    """One for each architecture and width among the finished runs of a panel; rows are numbered from 0."""
    table = panel.reset_index(drop=True)
    usable = (as_floats(table["l0"]) > 0) & np.isfinite(as_floats(table["loss_recovered"]))
    points = point_numbers(table)
    found = []
    for (architecture, _), rows in table[usable].groupby(list(ARM)):
        order = rows.index.to_numpy()[np.argsort(points[rows.index], kind="stable")]
        starts = np.flatnonzero(np.diff(points[order], prepend=-1))
        alive = np.add.reduceat(as_floats(table["alive_fraction"])[order], starts) / np.diff(starts, append=len(order))
        d_sae, cost = int(rows["d_sae"].iloc[0]), _cost(rows)
        found.append(Front(str(architecture), d_sae, order, starts, alive, cost, _machines(rows)))
    return found


def _cost(rows: pd.DataFrame) -> dict[str, float]:
    """Medians over the runs: training FLOPs, by the count of products, and seconds as measured."""
    seconds = as_floats(rows["training_seconds"]) if "training_seconds" in rows else np.full(1, np.nan)
    return {"flops": _median(training_flops(rows)), "seconds": _median(seconds)}


def training_flops(rows: pd.DataFrame) -> Floats:
    """Each run's training FLOPs, by the count of dense products; NaN for an architecture that MATMULS lacks."""
    needed = ("d_in", "d_sae", "train.batch", "train.steps")
    if any(name not in rows for name in needed):
        return np.full(len(rows), np.nan)
    products = rows["architecture"].map(MATMULS).to_numpy(dtype=float)
    flops: Floats = 2.0 * products * np.prod([as_floats(rows[name]) for name in needed], axis=0)
    return flops


def _machines(rows: pd.DataFrame) -> frozenset[tuple[str, ...]]:
    named = [rows[name].astype(str) for name in ("execution.device", "execution.threads") if name in rows]
    return frozenset(zip(*named, strict=True))


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan


def pairs(fronts: list[Front]) -> Iterator[Pair]:
    """Every baseline with every gated front; a pair that no rule calls fair has no name."""
    for baseline in (front for front in fronts if front.architecture == BASELINE):
        for gated in (front for front in fronts if front.architecture == GATED):
            ratio = baseline.d_sae / gated.d_sae
            rules = {
                "equal_width": abs(ratio - 1) <= SAME_WIDTH, "width_1.5": abs(ratio / 1.5 - 1) <= SAME_WIDTH,
                "equal_flops": _same(baseline.cost["flops"], gated.cost["flops"]),
                "equal_seconds": baseline.machines == gated.machines and len(gated.machines) == 1
                and _same(baseline.cost["seconds"], gated.cost["seconds"]),
            }  # fmt: skip
            yield Pair(baseline, gated, tuple(name for name, holds in rules.items() if holds))


def _same(first: float, second: float) -> bool:
    return abs(np.log(first / second)) <= np.log1p(SAME_COST) if first > 0 and second > 0 else False
