"""What is lost at equal L0: cross-entropy added at given numbers of features, and between the fronts on average."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.curves import Floats, fronts, interpolate
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
ARMS = ("reference", "candidate", "difference")
COLUMNS = (
    "model", "site", "layer", "reference", "candidate", "comparison", "l0", "arm", "noise", "n_seeds", "ce_added",
    "ce_added_low", "ce_added_high", "share_of_clean", "d_sae_reference", "d_sae_candidate", "data.name",
    "evaluation.id", "note",
)  # fmt: skip


def ce_at_l0(compared: Iterable[Compared]) -> pd.DataFrame:
    """By pair, L0 and arm (reference, candidate, and reference minus candidate) the cross-entropy added, nats.

    `l0` is one of AT_L0, or the range of OVER as "5 to 30" for the average along it, which is the area between the
    fronts over the range's length in log L0.
    """
    rows = [row for one in compared for pair in one.pairs for row in _of_pair(one.panel, pair)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True)
class _Added:
    """Minus the cross-entropy that one arm adds, at every place that is asked for: [rows, places]."""

    sample: Floats  # one row
    redrawn: Floats | None  # the sample, then each draw of documents
    without_each: Floats | None  # without each seed in turn


def _of_pair(panel: Panel, pair: Pair) -> list[dict[str, Any]]:
    if not np.isfinite(panel.y(DELTA_CE)).any():
        return []
    low, high = np.log(OVER)
    at = np.concatenate([np.log(AT_L0), low + (high - low) * (np.arange(PLACES) + 0.5) / PLACES])
    wanted = [(f"{l0:g}", slice(number, number + 1)) for number, l0 in enumerate(AT_L0)]
    wanted.append((f"{OVER[0]:g} to {OVER[1]:g}", slice(len(AT_L0), None)))
    clean = float(np.nanmean(panel.runs["ce_clean"].astype(float)))
    common = seeds.common_seeds(pair, panel.seeds, panel.x, panel.y(DELTA_CE))
    reference, candidate = (_added(panel, pair, front, common, at) for front in pair.fronts)
    rows = []
    for name, places in wanted:
        for arm, added in zip(ARMS, ([reference], [candidate], [reference, candidate]), strict=True):
            rows += _rows(panel, pair, (name, arm), added, places, len(common), clean)
    return rows


def _added(panel: Panel, pair: Pair, front: Front, common: list[int], at: Floats) -> _Added:
    """Of one front of a pair; redrawn over documents where both can be."""
    sample, redrawn, without_each = panel.sample(front, DELTA_CE), None, None
    slopes = _slopes(sample)
    if panel.unmeasured(pair.fronts) is None and panel.sums is not None and len(panel.drawn) > 1:
        redrawn = _read(panel.resampled(front, DELTA_CE), at, slice(None), slopes)
    if len(common) >= seeds.FEWEST_SEEDS:
        arm = seeds.leaving_one_out(front, panel.seeds, common, panel.x, panel.y(DELTA_CE))
        without_each = _read(arm, at, slice(1, None), slopes)
    return _Added(_read(sample, at, slice(0, 1), None), redrawn, without_each)


def _read(arm: Sampler, at: Floats, rows: slice, slopes: tuple[float, float] | None) -> Floats:
    """[rows, places] minus the cross-entropy added.

    Args:
        slopes: with which a front that ends before a place goes on; None: it ends there.
    """
    return interpolate(*fronts(*arm(rows)), at, slopes)


def _rows(
    panel: Panel, pair: Pair, which: tuple[str, str], added: list[_Added], places: slice, count: int, clean: float
) -> list[dict[str, Any]]:
    """One row per name of the pair and kind of noise.

    Args:
        which: L0 and arm.
        added: of the arm, or of both for their difference.
        count: seeds that every point of both fronts has.
    """
    name, arm = which
    value = float(_averaged([one.sample for one in added], places)[0])
    known = math.isfinite(value)
    noise = _noise(panel, added, places, value) if known else Noise()
    common = {
        **panel.key, "reference": pair.reference.architecture, "candidate": pair.candidate.architecture, "arm": arm,
        "l0": name, "n_seeds": count if known else 0, "ce_added": value, "share_of_clean": value / clean,
        "note": "" if known else _short(panel, pair, arm, name), "d_sae_reference": pair.reference.d_sae,
        "d_sae_candidate": pair.candidate.d_sae,
    }  # fmt: skip
    rows = []
    for kind in KINDS:
        low, high = noise.interval(value, kind)
        rows += [
            common | {"comparison": fair, "noise": kind, "ce_added_low": low, "ce_added_high": high}
            for fair in pair.names
        ]
    return rows


def _averaged(arms: Sequence[Floats], places: slice) -> Floats:
    """[rows] the cross-entropy added, averaged over the places: of one arm, or of the first minus the second."""
    values: list[Floats] = [-arm[:, places].mean(1) for arm in arms]
    return values[0] if len(values) == 1 else values[0] - values[1]


def _noise(panel: Panel, added: list[_Added], places: slice, value: float) -> Noise:
    text = training = None
    redrawn = [one.redrawn for one in added if one.redrawn is not None]
    if redrawn and panel.sums is not None:
        deviations = (_averaged(redrawn, places)[1:] - value) * bootstrap.widening(panel.sums)
        if np.isfinite(deviations).all():
            text = Text.of(deviations, bootstrap.freedom(panel.sums))
    without_each = [one.without_each for one in added if one.without_each is not None]
    if without_each:
        moved = _averaged(without_each, places)
        training = Training.of(moved) if np.isfinite(moved).all() else None
    return Noise(text, training)


def _fronts(pair: Pair, arm: str) -> tuple[Front, ...]:
    return {"reference": (pair.reference,), "candidate": (pair.candidate,)}.get(arm, pair.fronts)


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
