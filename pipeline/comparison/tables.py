"""The comparison as tables: l0_ratio.csv, its curve, paired differences of cross-entropy, intervals of single runs."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.aggregate import FIRST
from pipeline.comparison import bootstrap
from pipeline.comparison.compare import DELTA_CE, LOSS_RECOVERED, Measured, Panel
from pipeline.curves import Floats
from pipeline.frontier import PANEL

NOISES = ("sequences", "seeds")
RATIO = (
    "model", "site", "layer", "comparison", "ablation", "noise", "n_seeds", "ratio_median", "ratio_low", "ratio_high",
    "fidelity_low", "fidelity_high", "alive_baseline", "alive_gated",
)  # fmt: skip
FURTHER = (
    "d_sae_baseline",
    "d_sae_gated",
    "alive_baseline_lowest",
    "alive_gated_lowest",
    "data.name",
    "evaluation.id",
    "note",
)
CURVE = (
    "model", "site", "layer", "comparison", "ablation", "fidelity", "l0_baseline", "l0_gated", "ratio", "ratio_low",
    "ratio_high", "d_sae_baseline", "d_sae_gated", "data.name", "evaluation.id",
)  # fmt: skip
DELTA = (
    "model", "site", "layer", "comparison", "noise", "n_seeds", "delta_ce_median", "delta_ce_low", "delta_ce_high",
    "l0_low", "l0_high", "ce_zero_minus_clean", *FURTHER,
)  # fmt: skip
COVERED = 0.9
"""The curve has an interval where at least this share of replicates has a value."""
RUNS_AT_ONCE = 100


def l0_ratios(panels: Iterable[Panel]) -> pd.DataFrame:
    """One row a pair of fronts, name, ablation and kind of noise; ratios above 1 mean that gated needs fewer."""
    rows = []
    for panel, measured in _each(panels, delta=False):
        curve = measured.curve
        ends = {f"fidelity_{end}": getattr(curve, end) if curve else np.nan for end in ("low", "high")}
        for noise in NOISES:
            values = np.exp(_estimate_and_ends(measured, noise))
            named = dict(zip(("ratio_median", "ratio_low", "ratio_high"), values, strict=True))
            rows += _rows(panel, measured, noise, {"ablation": measured.fidelity} | ends | named)
    return _sorted(rows, (*RATIO, *FURTHER))


def delta_ces(panels: Iterable[Panel]) -> pd.DataFrame:
    """As `l0_ratios`, for the cross-entropy that gated saves at equal L0 (nats; above 0: gated is better)."""
    rows = []
    for panel, measured in _each(panels, delta=True):
        curve = measured.curve
        ends = {f"l0_{end}": np.exp(getattr(curve, end)) if curve else np.nan for end in ("low", "high")}
        gap = float((panel.runs["ce_zero"] - panel.runs["ce_clean"]).mean())
        for noise in NOISES:
            values = _estimate_and_ends(measured, noise)
            named = dict(zip(("delta_ce_median", "delta_ce_low", "delta_ce_high"), values, strict=True))
            rows += _rows(panel, measured, noise, {"ce_zero_minus_clean": gap} | ends | named)
    return _sorted(rows, DELTA)


def _each(panels: Iterable[Panel], delta: bool) -> list[tuple[Panel, Measured]]:
    return [(p, m) for p in panels for m in p.measured if (m.fidelity == DELTA_CE) == delta]


def _estimate_and_ends(measured: Measured, noise: str) -> Floats:
    """Estimate, lower and upper end, on the scale of the curve."""
    if measured.curve is None:
        return np.full(3, np.nan)
    estimate, half = measured.curve.estimate, measured.seed_half_width
    if noise == "seeds":
        return np.array([estimate, *((np.nan, np.nan) if half is None else (estimate - half, estimate + half))])
    if measured.deviations is None:
        return np.array([estimate, np.nan, np.nan])
    tails = np.quantile(measured.deviations, [0.5 - bootstrap.LEVEL / 2, 0.5 + bootstrap.LEVEL / 2])
    return np.array([estimate, *(estimate + tails)])


def _rows(panel: Panel, measured: Measured, noise: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The row of a pair under each of its names."""
    pair = measured.pair
    alive: dict[str, Any] = {"d_sae_baseline": pair.baseline.d_sae, "d_sae_gated": pair.gated.d_sae}
    for arm in ("baseline", "gated"):
        used = measured.alive[arm]
        alive |= {f"alive_{arm}": used.mean(), f"alive_{arm}_lowest": used.min()} if used.size else {}
    note = measured.note.get("", measured.note.get(noise, ""))
    common = {**panel.key, **alive, **values, "noise": noise, "n_seeds": measured.n_seeds, "note": note}
    return [common | {"comparison": name} for name in pair.names]


def curves(panels: Iterable[Panel]) -> pd.DataFrame:
    """The ratio along fidelity, with its interval over documents where most replicates reach."""
    frames = []
    for panel, measured in _each(panels, delta=False):
        if measured.curve is None:
            continue
        curve, pair = measured.curve, measured.pair
        low, high = _pointwise(panel, curve.difference)
        for name in pair.names:
            frames.append(pd.DataFrame({
                **panel.key, "comparison": name, "ablation": measured.fidelity,
                "fidelity": curve.at, "l0_baseline": np.exp(curve.first[0]), "l0_gated": np.exp(curve.second[0]),
                "ratio": np.exp(curve.difference[0]), "ratio_low": np.exp(low), "ratio_high": np.exp(high),
                "d_sae_baseline": pair.baseline.d_sae, "d_sae_gated": pair.gated.d_sae,
            })[list(CURVE)])  # fmt: skip
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(CURVE))


def _pointwise(panel: Panel, log_ratios: Floats) -> tuple[Floats, Floats]:
    low, high = np.full((2, log_ratios.shape[1]), np.nan)
    replicates = log_ratios[1:]
    if panel.sums is None or not len(replicates):
        return low, high
    reached = np.isfinite(replicates).mean(0) >= COVERED
    tails = np.nanquantile(replicates[:, reached] - log_ratios[0, reached],
                           [0.5 - bootstrap.LEVEL / 2, 0.5 + bootstrap.LEVEL / 2], axis=0)  # fmt: skip
    factor = bootstrap.stretch(panel.sums)
    low[reached], high[reached] = log_ratios[0, reached] + factor * tails
    return low, high


def run_intervals(panels: Iterable[Panel]) -> pd.DataFrame:
    """By run: the intervals of its loss recovered and of its difference of cross-entropy; only runs with sequences."""
    frames = []
    for panel in panels:
        if panel.sums is None or len(panel.sums.predictions) < bootstrap.FEWEST_DOCUMENTS:
            continue
        for start in range(0, len(panel.runs), RUNS_AT_ONCE):
            frames.append(_intervals_of(panel, slice(start, start + RUNS_AT_ONCE)))
    return pd.concat(frames) if frames else pd.DataFrame()


def with_intervals(runs: pd.DataFrame, panels: Iterable[Panel]) -> pd.DataFrame:
    """The table of runs with the intervals of `run_intervals` and the difference of cross-entropies, after FIRST."""
    found = run_intervals(panels).reindex(runs["run"])
    names = [f"{name}_{end}" for name in (*LOSS_RECOVERED.values(), DELTA_CE) for end in ("low", "high")]
    added = {name: found[name].to_numpy() if name in found else np.full(len(runs), np.nan) for name in names}
    ahead = [name for name in FIRST if name in runs]
    difference = (runs["ce_sae"] - runs["ce_clean"]).rename(DELTA_CE)
    intervals = pd.DataFrame(added, index=runs.index)
    return pd.concat([runs[ahead], difference, intervals, runs.drop(columns=ahead)], axis=1)


def _intervals_of(panel: Panel, rows: slice) -> pd.DataFrame:
    sums, factor = panel.sums, bootstrap.stretch(panel.sums) if panel.sums else 1.0
    assert sums is not None
    columns: dict[str, Floats] = {}
    for ablation, name in LOSS_RECOVERED.items():
        values = bootstrap.loss_recovered(sums, panel.drawn, rows, ablation)
        columns[f"{name}_low"], columns[f"{name}_high"] = bootstrap.interval(values[0], values[1:], factor)
    values = bootstrap.delta_ce(sums, panel.drawn, rows)
    columns[f"{DELTA_CE}_low"], columns[f"{DELTA_CE}_high"] = bootstrap.interval(values[0], values[1:], factor)
    return pd.DataFrame(columns, index=panel.runs["run"].iloc[rows])


def _sorted(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    order = [name for name in (*PANEL, "comparison", "d_sae_gated", "d_sae_baseline", "ablation") if name in frame]
    return frame.sort_values(order, kind="stable", ignore_index=True)
