"""Do features shrink? Gamma of both arms at one site, with intervals from the sums on disk."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.analysis.curves import Floats
from pipeline.analysis.frontier import as_floats, non_dominated
from pipeline.comparison import bootstrap, seeds
from pipeline.comparison.arms import Front, Pair
from pipeline.comparison.noise import Noise, Text, Training
from pipeline.comparison.panel import DELTA_CE, Fidelity, Panel

HEALTHY = 0.9
"""Alive fraction from which on a point counts."""
FEWEST_POINTS = 3
Statistic = Callable[[Floats], Floats]
"""[rows, points] gamma to [rows] one number."""


@dataclass(frozen=True)
class Measurement:
    """One number of an arm, over its healthy points."""

    value: float
    noise: Noise


@dataclass(frozen=True)
class Shrinkage:
    """Gamma over the healthy points of both fronts."""

    pair: Pair
    reference: Measurement | None  # mean gamma
    candidate: Measurement | None
    bias: Measurement | None  # of the candidate: the mean of |gamma - 1|
    n_seeds: int
    points: tuple[int, int]
    note: str  # why there is nothing


def shrinkage(panel: Panel, pair: Pair) -> Shrinkage:
    """Of one pair in one panel."""
    chosen = [_healthy(panel, front) for front in pair.fronts]
    points = (len(chosen[0]), len(chosen[1]))
    note = _too_few(pair, points)
    if note:
        return Shrinkage(pair, None, None, None, 0, points, note)
    common = seeds.common_seeds(pair, panel.seeds, panel.x, panel.y(_ordered_by(panel)))
    reference, candidate = (
        _measured(panel, front, kept, common, _mean) for front, kept in zip(pair.fronts, chosen, strict=True)
    )
    bias = _measured(panel, pair.candidate, chosen[1], common, _mean_bias)
    return Shrinkage(pair, reference, candidate, bias, len(common), points, "")


def _mean(gammas: Floats) -> Floats:
    values: Floats = gammas.mean(1)
    return values


def _mean_bias(gammas: Floats) -> Floats:
    return _mean(np.abs(gammas - 1))


def _ordered_by(panel: Panel) -> Fidelity:
    return DELTA_CE if np.isfinite(panel.y(DELTA_CE)).any() else "zero"


def _healthy(panel: Panel, front: Front) -> npt.NDArray[np.intp]:
    """Numbers of the points on the front that have live features and a gamma."""
    x, y, gamma = (
        front.averaged(values[None])[0]
        for values in (panel.x, panel.y(_ordered_by(panel)), as_floats(panel.runs["gamma"]))
    )
    return np.flatnonzero(non_dominated(x, y) & (front.alive >= HEALTHY) & np.isfinite(gamma))


def _too_few(pair: Pair, points: tuple[int, int]) -> str:
    for front, count in zip(pair.fronts, points, strict=True):
        if not np.isfinite(front.alive).any():
            return f"how many features of {front.architecture} are alive is unknown"
        if count < FEWEST_POINTS:
            return (
                f"{count} of {front.architecture}'s points have {HEALTHY:.0%} of their features alive, {FEWEST_POINTS} "
                "are needed"
            )
    return ""


def _measured(
    panel: Panel, front: Front, kept: npt.NDArray[np.intp], common: list[int], statistic: Statistic
) -> Measurement:
    gamma = as_floats(panel.runs["gamma"])
    value = float(statistic(front.averaged(gamma[None])[:, kept])[0])
    text = training = None
    if panel.unmeasured((front,)) is None and panel.sums is not None and panel.sums.x_xhat is not None:
        local = replace(front, runs=np.arange(len(front.runs)))
        of_runs = bootstrap.gamma(panel.sums, panel.drawn, front.runs)
        drawn = statistic(local.averaged(of_runs)[:, kept])
        deviations = (drawn[1:] - drawn[0]) * bootstrap.widening(panel.sums)
        if len(deviations) and np.isfinite(deviations).all():
            text = Text.of(deviations, bootstrap.freedom(panel.sums))
    if len(common) >= seeds.FEWEST_SEEDS:
        rows = seeds.leaving_one_out(front, panel.seeds, common, gamma, gamma)(slice(1, None))[0]
        without_each = statistic(rows[:, kept])
        training = Training.of(without_each) if np.isfinite(without_each).all() else None
    return Measurement(value, Noise(text, training))
