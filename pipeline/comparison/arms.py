"""Which fronts are compared, and under which name: a comparison must say what it holds equal."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.analysis.curves import Floats
from pipeline.analysis.frontier import ARM, as_floats, point_ids
from pipeline.config.hints import hint
from pipeline.errors import UserError

BASELINE, GATED = "baseline", "gated"
"""The arms of the paper's claims; the first is every sweep's reference unless another is named."""
SAME_WIDTH = 0.02
"""Widths that differ by no more than this share count as equal, or as 1.5 to 1."""
SAME_COST = 0.10
"""As much for training FLOPs and seconds."""
COSTS = {"equal_flops": "training_flops", "equal_seconds": "training_seconds", "equal_dense_flops": "dense_flops"}
"""By comparison: the column that it holds equal."""


@dataclass(frozen=True)
class Arms:
    """Which architecture the others are compared with, and which are."""

    reference: str = BASELINE
    candidates: tuple[str, ...] | None = None  # None: every other one

    def is_candidate(self, architecture: str) -> bool:
        return architecture != self.reference if self.candidates is None else architecture in self.candidates

    def check(self, there: Iterable[str], where: str) -> None:
        """Raises UserError where an arm that was asked for is not among those that are declared."""
        declared = sorted(map(str, there))
        asked = [] if self.reference == BASELINE else [("reference", self.reference)]
        for key, name in [*asked, *(("candidates", name) for name in self.candidates or ())]:
            if name not in declared:
                raise UserError(f"{key}={name}: {where} has no such arm{hint(name, declared, said='arms')}")


@dataclass(frozen=True, eq=False)
class Front:
    """The finished runs of one arm in one panel, sorted by point; only those in which some feature fires."""

    architecture: str
    d_sae: int
    runs: npt.NDArray[np.intp]  # rows of the panel's table
    starts: npt.NDArray[np.intp]  # where in `runs` each point begins
    alive: Floats  # [points] mean alive fraction
    effective: Floats  # [points] mean effective width
    tokens: Floats  # [points] mean number of tokens that the runs were trained on
    cost: Mapping[str, float]  # by column: medians over runs; NaN where unknown
    machines: frozenset[tuple[str, ...]]  # devices and numbers of threads that the runs were trained with

    def summed(self, values: Floats) -> Floats:
        """[replicates, runs of the panel] values to [replicates, points] sums over each point's runs."""
        sums: Floats = np.add.reduceat(values[:, self.runs], self.starts, axis=1)
        return sums

    def averaged(self, values: Floats) -> Floats:
        """As `summed`, but means."""
        return self.summed(values) / np.diff(self.starts, append=len(self.runs))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two fronts and every name under which they may be compared."""

    reference: Front
    candidate: Front
    names: tuple[str, ...]

    @property
    def fronts(self) -> tuple[Front, Front]:
        return self.reference, self.candidate


def without_points(architecture: str, d_sae: int) -> Front:
    """The front of an arm that has no finished run; a width of 0 is unknown."""
    none, runs = np.empty(0), np.empty(0, dtype=np.intp)
    return Front(architecture, d_sae, runs, runs, none, none, none, {}, frozenset())


def fronts_of(panel: pd.DataFrame) -> list[Front]:
    """One for each architecture and width among the finished runs of a panel; rows are numbered from 0."""
    table = panel.reset_index(drop=True)
    measured = np.isfinite(as_floats(table["loss_recovered"])) | np.isfinite(as_floats(table["ce_sae"]))
    usable = (as_floats(table["l0"]) > 0) & measured
    points = point_ids(table)
    found = []
    for (architecture, _), rows in table[usable].groupby(list(ARM)):
        order = rows.index.to_numpy()[np.argsort(points[rows.index], kind="stable")]
        starts = np.flatnonzero(np.diff(points[order], prepend=-1))
        counts = np.diff(starts, append=len(order))
        alive, effective, tokens = (
            np.add.reduceat(_column(table, name)[order], starts) / counts
            for name in ("alive_fraction", "effective_width", "tokens")
        )
        cost = {name: _median(_column(rows, name)) for name in COSTS.values()}
        d_sae, machines = int(rows["d_sae"].iloc[0]), _machines(rows)
        found.append(Front(str(architecture), d_sae, order, starts, alive, effective, tokens, cost, machines))
    return found


def _column(rows: pd.DataFrame, name: str) -> Floats:
    return as_floats(rows[name]) if name in rows else np.full(len(rows), np.nan)


def _machines(rows: pd.DataFrame) -> frozenset[tuple[str, ...]]:
    named = [rows[name].astype(str) for name in ("execution.device", "execution.threads") if name in rows]
    return frozenset(zip(*named, strict=True))


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan


def pairs(fronts: list[Front], arms: Arms) -> Iterator[Pair]:
    """Every front of the reference with every candidate's; a pair that no rule calls fair has no name."""
    for reference in (front for front in fronts if front.architecture == arms.reference):
        for candidate in (front for front in fronts if arms.is_candidate(front.architecture)):
            costs = tuple(name for name in COSTS if _same_cost(reference, candidate, name))
            yield Pair(reference, candidate, by_width(reference.d_sae, candidate.d_sae) + costs)


def by_width(reference: int, candidate: int) -> tuple[str, ...]:
    """The names under which two widths are compared."""
    rules = {"width_1.5": _near(reference / candidate, 1.5), "equal_width": _near(reference / candidate, 1.0)}
    return tuple(name for name, holds in rules.items() if holds)


def _near(ratio: float, wanted: float) -> bool:
    return abs(ratio / wanted - 1) <= SAME_WIDTH


def _same_cost(reference: Front, candidate: Front, name: str) -> bool:
    """Within SAME_COST; seconds only where all runs had the same kind of machine."""
    first, second = (front.cost[COSTS[name]] for front in (reference, candidate))
    if name == "equal_seconds" and not (reference.machines == candidate.machines and len(candidate.machines) == 1):
        return False
    return abs(np.log(first / second)) <= np.log1p(SAME_COST) if first > 0 and second > 0 else False
