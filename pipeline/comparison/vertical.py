"""What is lost at equal L0: cross-entropy added at given numbers of features, and between the fronts on the average."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.curves import Floats, fronts, read_off
from pipeline.comparison import bootstrap, seeds
from pipeline.comparison.along import Sampler, end_slopes
from pipeline.comparison.arms import Front, Pair
from pipeline.comparison.compare import Compared
from pipeline.comparison.noise import KINDS, Noise, Text, Training
from pipeline.comparison.panel import DELTA_CE, Panel

AT_L0 = (10.0, 20.0, 50.0, 100.0)
OVER = (5.0, 30.0)
"""The range of L0 over which the fronts' distance is averaged, evenly in log L0: declared, whatever the runs are."""
PLACES = 200
COLUMNS = (
    "model", "site", "layer", "reference", "candidate", "comparison", "l0", "arm", "noise", "n_seeds", "ce_added",
    "ce_added_low", "ce_added_high", "share_of_clean", "d_sae_reference", "d_sae_candidate", "data.name",
    "evaluation.id", "note",
)  # fmt: skip


def ce_at_l0(compared: Iterable[Compared]) -> pd.DataFrame:
    """By pair, L0 and arm (reference, candidate, and reference less candidate) the cross-entropy added, nats.

    `l0` is one of AT_L0, or the range of OVER as "5 to 30" for the average along it, which is the area between the
    fronts over the range's length in log L0.
    """
    rows = [row for one in compared for pair in one.pairs for row in _of_pair(one.panel, pair)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_pair(panel: Panel, pair: Pair) -> list[dict[str, Any]]:
    if not np.isfinite(panel.y(DELTA_CE)).any():
        return []
    wanted = [(f"{l0:g}", np.log([l0])) for l0 in AT_L0]
    low, high = np.log(OVER)
    wanted.append((f"{OVER[0]:g} to {OVER[1]:g}", low + (high - low) * (np.arange(PLACES) + 0.5) / PLACES))
    clean = float(np.nanmean(panel.runs["ce_clean"].astype(float)))
    rows = []
    for name, at in wanted:
        for arm in ("reference", "candidate", "difference"):
            rows += _rows(panel, pair, arm, name, at, clean)
    return rows


def _rows(panel: Panel, pair: Pair, arm: str, name: str, at: Floats, clean: float) -> list[dict[str, Any]]:
    """One row a name of the pair and kind of noise."""
    sample = [panel.sample(front, DELTA_CE) for front in _fronts(pair, arm)]
    value = float(_read(sample, at, slice(0, 1), [None] * len(sample))[0])
    noise, count = (Noise(), 0) if math.isnan(value) else _noise(panel, pair, arm, at, value)
    note = "" if math.isfinite(value) else _short(panel, pair, arm, name)
    common = {
        **panel.key, "reference": pair.reference.architecture, "candidate": pair.candidate.architecture, "arm": arm,
        "l0": name, "n_seeds": count, "ce_added": value, "share_of_clean": value / clean, "note": note,
        "d_sae_reference": pair.reference.d_sae, "d_sae_candidate": pair.candidate.d_sae,
    }  # fmt: skip
    rows = []
    for kind in KINDS:
        low, high = noise.interval(value, kind)
        rows += [
            common | {"comparison": fair, "noise": kind, "ce_added_low": low, "ce_added_high": high}
            for fair in pair.names
        ]
    return rows


def _fronts(pair: Pair, arm: str) -> tuple[Front, ...]:
    return {"reference": (pair.reference,), "candidate": (pair.candidate,)}.get(arm, pair.fronts)


def _read(arms: list[Sampler], at: Floats, rows: slice, slopes: Sequence[tuple[float, float] | None]) -> Floats:
    """[rows] the cross-entropy added, averaged over the places: of one arm, or of the first less the second.

    Args:
        slopes: by arm, with which a front that ends before a place goes on; None: it ends there.
    """
    values = []
    for arm, beyond in zip(arms, slopes, strict=True):
        x, y = fronts(*arm(rows))
        values.append(-read_off(x, y, at, beyond).mean(1))
    found: Floats = values[0] if len(values) == 1 else values[0] - values[1]
    return found


def _noise(panel: Panel, pair: Pair, arm: str, at: Floats, value: float) -> tuple[Noise, int]:
    chosen, text, training = _fronts(pair, arm), None, None
    slopes = [_slopes(panel.sample(front, DELTA_CE)) for front in chosen]
    if panel.unmeasured(pair.fronts) is None and panel.sums is not None and len(panel.drawn) > 1:
        drawn = _read([panel.resampled(front, DELTA_CE) for front in chosen], at, slice(None), slopes)
        deviations = (drawn[1:] - value) * bootstrap.widening(panel.sums)
        if np.isfinite(deviations).all():
            text = Text.of(deviations, bootstrap.freedom(panel.sums))
    x, y = panel.x, panel.y(DELTA_CE)
    common = seeds.common_seeds(pair, panel.seeds, x, y)
    if len(common) >= seeds.FEWEST_SEEDS:
        arms = [seeds.leaving_one_out(front, panel.seeds, common, x, y) for front in chosen]
        without_each = _read(arms, at, slice(1, None), slopes)
        training = Training.of(without_each) if np.isfinite(without_each).all() else None
    return Noise(text, training), len(common)


def _slopes(arm: Sampler) -> tuple[float, float]:
    """Of the estimate's own front at its ends, with which redrawn fronts go on: as along the ratio."""
    x, y = fronts(*arm(slice(0, 1)))
    return end_slopes(x[0], y[0])


def _short(panel: Panel, pair: Pair, arm: str, name: str) -> str:
    """Which front does not reach the L0 asked for."""
    parts = []
    for front in _fronts(pair, arm):
        x, _ = fronts(*panel.sample(front, DELTA_CE)(slice(0, 1)))
        if not x.size or np.isnan(x[0, 0]):
            parts.append(f"{front.architecture} has no point")
        else:
            parts.append(f"{front.architecture} reaches L0 {math.exp(x[0, 0]):.3g} to {math.exp(x[0, -1]):.3g}")
    return f"not at L0 {name}: {', '.join(parts)}"
