"""From the table of runs, and the sums they left, to the comparison of gated with the baseline in every panel."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.comparison import bootstrap, seeds
from pipeline.comparison.arms import BASELINE, GATED, Front, Pair, fronts_of, pairs
from pipeline.comparison.documents import Documents, read_documents
from pipeline.comparison.ratio import Curve, Reading, Sampler, fidelity_gain, l0_ratio
from pipeline.curves import Floats
from pipeline.frontier import PANEL, as_floats, non_dominated, numbered

LOSS_RECOVERED = {"zero": "loss_recovered", "mean": "loss_recovered_mean_ablation"}
"""By what the site is ablated with: the column of loss recovered."""
DELTA_CE = "delta_ce"


@dataclass(frozen=True)
class Measured:
    """One pair of fronts read along one axis, with both kinds of noise."""

    pair: Pair
    fidelity: str  # zero, mean or delta_ce
    curve: Curve | None  # None: the fronts do not overlap
    deviations: Floats | None  # of replicates over documents, stretched
    seed_half_width: float | None
    n_seeds: int
    note: dict[str, str]  # by noise: why there is no interval; "" for a refusal of the comparison itself
    alive: dict[str, Floats]  # by place in the pair: alive fractions of the points that the estimate rests on


@dataclass(frozen=True)
class Panel:
    """What is compared within one (model, site, layer, data, evaluation)."""

    key: dict[str, Any]
    runs: pd.DataFrame  # finished ones, numbered from 0
    sums: Documents | None
    reasons: dict[str, str]  # by run: why its sequences are not used
    drawn: Floats  # [1 + replicates, documents]
    measured: list[Measured] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # what is not compared, and why


def panels(runs: pd.DataFrame, sweeps_dir: Path | None, replicates: int) -> Iterator[Panel]:
    """Every panel with a finished run, compared.

    Args:
        runs: as `pipeline.aggregate.read_sweep` gives them.
        sweeps_dir: where the runs' sequences are; None for points without any.
        replicates: draws of documents; 0 for no intervals.
    """
    done = runs[(runs["status"] == "done") & np.isfinite(as_floats(runs["l0"]))]
    for _, rows in done.groupby(numbered(done, list(PANEL))):
        table = rows.reset_index(drop=True)
        sums, reasons = (None, {}) if sweeps_dir is None or not replicates else read_documents(sweeps_dir, table)
        drawn = bootstrap.weights(len(sums.predictions), replicates) if sums is not None else np.ones((1, 1))
        panel = Panel({name: table[name].iloc[0] for name in PANEL}, table, sums, reasons, drawn)
        compare(panel)
        yield panel


def compare(panel: Panel) -> None:
    """Fill in what is measured between the arms of a panel, and a line for each pair that is not."""
    arms = fronts_of(panel.runs)
    there = {front.architecture for front in arms}
    if len({BASELINE, GATED} & there) == 1:
        lacking = GATED if BASELINE in there else BASELINE
        panel.lines.append(f"no finished {lacking} run to compare with")
    for pair in pairs(arms):
        if not pair.names:
            widths = f"baseline {pair.baseline.d_sae} wide, gated {pair.gated.d_sae}"
            panel.lines.append(f"{widths}: neither widths nor training cost match, so they are not compared")
            continue
        for fidelity in (*LOSS_RECOVERED, DELTA_CE):
            panel.measured.append(measure(panel, pair, fidelity))


def measure(panel: Panel, pair: Pair, fidelity: str, within: tuple[float, float] | None = None) -> Measured:
    """One pair of fronts along one axis; the panel's sums, where it has them, give the noise of the text.

    Args:
        within: an interval of loss recovered that the comparison shall not leave.
    """
    x, y = np.log(as_floats(panel.runs["l0"]).clip(1e-300)), _fidelity(panel.runs, fidelity)
    arms = (pair.baseline, pair.gated)
    read: Reading = fidelity_gain if fidelity == DELTA_CE else partial(l0_ratio, within=within)
    curve = read(_fixed(pair.baseline, x, y), _fixed(pair.gated, x, y), 1)
    alive = {n: _alive(front, x, y, fidelity, curve) for n, front in zip((BASELINE, GATED), arms, strict=True)}
    if curve is None:
        return Measured(pair, fidelity, None, None, None, 0, {"": _no_overlap(arms, x, y, fidelity)}, alive)
    n_seeds, half_width, note = _seed_noise(panel, pair, read, x, y)
    problem = _no_sequences(panel, arms)
    deviations = None
    if problem is None and panel.sums is not None:
        baseline, gated = (_resampled(panel, front, fidelity) for front in arms)
        curve = read(baseline, gated, len(panel.drawn)) or curve
        deviations = curve.deviations()
        problem = "resampled fronts cover too little of the interval" if deviations is None else None
        deviations = None if deviations is None else deviations * bootstrap.stretch(panel.sums)
    note |= {} if problem is None else {"sequences": f"no interval over sequences: {problem}"}
    return Measured(pair, fidelity, curve, deviations, half_width, n_seeds, note, alive)


def _seed_noise(
    panel: Panel, pair: Pair, read: Reading, x: Floats, y: Floats
) -> tuple[int, float | None, dict[str, str]]:
    """How many seeds there are throughout, half the interval over them, or why there is none."""
    of_run = pd.to_numeric(panel.runs["seed"], errors="coerce").fillna(-1).to_numpy(dtype=np.int64)
    common = seeds.common_seeds(pair, of_run, x, y)
    if len(common) < seeds.FEWEST_SEEDS:
        why = f"seed noise not measured ({len(common)} of {seeds.FEWEST_SEEDS} seeds)"
        return len(common), None, {"seeds": why}
    baseline, gated = (seeds.leaving_one_out(front, of_run, common, x, y) for front in (pair.baseline, pair.gated))
    curve = read(baseline, gated, 1 + len(common))
    half_width = seeds.half_width(curve) if curve is not None else None
    return (
        len(common),
        half_width,
        {} if half_width is not None else {"seeds": "fronts without a seed cover too little"},
    )


def _alive(front: Front, x: Floats, y: Floats, fidelity: str, curve: Curve | None) -> Floats:
    """Alive fractions of the front's points in the interval, and of the next one on either side; all without one."""
    points = front.averaged(x[None])[0], front.averaged(y[None])[0]
    kept = np.flatnonzero(non_dominated(*points))
    kept = kept[np.argsort(points[0][kept])]
    along = points[0 if fidelity == DELTA_CE else 1][kept]
    if curve is not None:
        first, last = np.searchsorted(along, curve.low, "right") - 1, np.searchsorted(along, curve.high, "left")
        kept = kept[max(first, 0) : last + 1]
    return front.alive[kept][np.isfinite(front.alive[kept])]


def _fidelity(runs: pd.DataFrame, fidelity: str) -> Floats:
    if fidelity == DELTA_CE:
        return as_floats(runs["ce_clean"]) - as_floats(runs["ce_sae"])
    return as_floats(runs[LOSS_RECOVERED[fidelity]])


def _fixed(front: Front, x: Floats, y: Floats) -> Sampler:
    points = front.averaged(x[None]), front.averaged(y[None])
    return lambda rows: (points[0][rows], points[1][rows])


def _resampled(panel: Panel, front: Front, fidelity: str) -> Sampler:
    """Log L0 and fidelity of the front's points, over the documents of each draw."""
    sums = panel.sums
    assert sums is not None
    local = replace(front, runs=np.arange(len(front.runs)))

    def sample(rows: slice) -> tuple[Floats, Floats]:
        drawn = panel.drawn[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.log(bootstrap.l0(sums, drawn, front.runs))
            if fidelity == DELTA_CE:
                y = -bootstrap.delta_ce(sums, drawn, front.runs)
            else:
                y = bootstrap.loss_recovered(sums, drawn, front.runs, fidelity)
            return local.averaged(x), local.averaged(y)

    return sample


def _no_sequences(panel: Panel, arms: tuple[Front, Front]) -> str | None:
    """Why documents cannot be resampled for these fronts; None where they can."""
    if panel.sums is None:
        return next(iter(panel.reasons.values()), "none were read")
    names = panel.runs["run"]
    lacking = [panel.reasons[names[row]] for front in arms for row in front.runs if names[row] in panel.reasons]
    if lacking:
        return f"{len(lacking)} run{'s' if len(lacking) > 1 else ''} without usable sequences: {lacking[0]}"
    if len(panel.sums.predictions) < bootstrap.FEWEST_DOCUMENTS:
        return f"{len(panel.sums.predictions)} documents are too few"
    return None


def _no_overlap(arms: tuple[Front, Front], x: Floats, y: Floats, fidelity: str) -> str:
    """Why two fronts have no ratio, with their ranges."""
    parts = []
    for front in arms:
        points = front.averaged(x[None])[0], front.averaged(y[None])[0]
        kept = non_dominated(*points)
        if not kept.any():
            return f"{front.architecture} has no point with a value"
        axis = np.exp(points[0][kept]) if fidelity == DELTA_CE else points[1][kept]
        reach = f"{axis.min():.4g} to {axis.max():.4g}" if axis.size > 1 else f"one point at {axis.max():.4g}"
        parts.append(f"{front.architecture} {reach}")
    return f"the fronts do not overlap in {'L0' if fidelity == DELTA_CE else 'loss recovered'}: {', '.join(parts)}"
