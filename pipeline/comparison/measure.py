"""Everything that is measured between two fronts of a panel."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pipeline.analysis.curves import Floats
from pipeline.analysis.frontier import non_dominated
from pipeline.comparison.along import OUTRIGHT, RATIO, SAVED
from pipeline.comparison.arms import Front, Pair
from pipeline.comparison.estimate import Estimate, estimate
from pipeline.comparison.panel import DELTA_CE, LOSS_RECOVERED, Fidelity, Panel

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Measured:
    """One pair of fronts, read in one way."""

    pair: Pair
    kind: str  # RATIO, SAVED or OUTRIGHT
    ablation: str  # by which the fronts' fidelity was asked for: zero or mean; "" for cross-entropy
    fidelity: Fidelity  # that was used
    estimate: Estimate | None  # None: they share nothing of this kind
    note: str  # why there is none
    alive: tuple[Floats, Floats]  # reference and candidate: alive fractions of the points that it rests on
    effective: tuple[Floats, Floats]  # and their effective widths
    tokens: tuple[Floats, Floats]  # and on how many tokens they were trained


def measure_pair(
    panel: Panel, pair: Pair, within: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> list[Measured]:
    """The ratio by each ablation, what is saved at equal L0, and the outright gaps where there is neither.

    Args:
        within: by ablation, an interval that the ratio's is cut to.
    """
    found = [measure(panel, pair, RATIO, name, within.get(name)) for name in LOSS_RECOVERED]
    found.append(measure(panel, pair, SAVED))
    if found[0].estimate is None and found[-1].estimate is None:
        found.append(measure(panel, pair, OUTRIGHT))
    return found


def measure(
    panel: Panel, pair: Pair, kind: str, ablation: str = "", within: tuple[float, float] | None = None
) -> Measured:
    """One of them.

    Args:
        ablation: of the loss recovered that a ratio is read along; refused, cross-entropy takes its place.
        within: an interval that the shared one is cut to.
    """
    fidelity = _fidelity(panel, ablation)
    found = estimate(kind, panel, pair, fidelity, within)
    note = "" if found else _nothing_shared(panel, pair, kind, fidelity)
    rests_on = [_rests_on(panel, front, kind, fidelity, found) for front in pair.fronts]
    alive, effective, tokens = (
        tuple(_known(getattr(front, name)[kept]) for front, kept in zip(pair.fronts, rests_on, strict=True))
        for name in ("alive", "effective", "tokens")
    )
    return Measured(pair, kind, ablation, fidelity, found, note, alive, effective, tokens)  # type: ignore[arg-type]


def _fidelity(panel: Panel, ablation: str) -> Fidelity:
    """Cross-entropy where it is known and loss recovered was refused, or not asked for."""
    if ablation and ablation not in panel.refused:
        return "mean" if ablation == "mean" else "zero"
    return DELTA_CE if np.isfinite(panel.y(DELTA_CE)).any() else "zero"


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _front(panel: Panel, front: Front, fidelity: Fidelity) -> tuple[Floats, Floats, Places]:
    """Log L0 and fidelity of the front's points, from sparse to dense, and their numbers."""
    x, y = (front.averaged(values[None])[0] for values in (panel.x, panel.y(fidelity)))
    kept = np.flatnonzero(non_dominated(x, y))
    kept = kept[np.argsort(x[kept])]
    return x[kept], y[kept], kept


def _rests_on(panel: Panel, front: Front, kind: str, fidelity: Fidelity, found: Estimate | None) -> Places:
    """Numbers of the front's points in the interval, and of the next one on either side; all without an interval."""
    x, y, kept = _front(panel, front, fidelity)
    if found is None or kind == OUTRIGHT:
        return kept
    along = y if kind == RATIO else x
    first, last = np.searchsorted(along, found.low, "right") - 1, np.searchsorted(along, found.high, "left")
    return kept[max(first, 0) : last + 1]


def _nothing_shared(panel: Panel, pair: Pair, kind: str, fidelity: Fidelity) -> str:
    """Why two fronts have no number of this kind, with their ranges."""
    what = "L0" if kind == SAVED else "cross-entropy added" if fidelity == DELTA_CE else "loss recovered"
    parts = []
    for front in pair.fronts:
        x, y, kept = _front(panel, front, fidelity)
        if not kept.size:
            of = "" if kind == SAVED else f" of {what}" + (" by mean ablation" if fidelity == "mean" else "")
            return f"{front.architecture} has no point with a value{of}"
        axis = np.exp(x) if kind == SAVED else -y[::-1] if fidelity == DELTA_CE else y
        reach = f"{axis.min():.4g} to {axis.max():.4g}" if axis.size > 1 else f"one point at {axis.max():.4g}"
        parts.append(f"{front.architecture} {reach}")
    if kind == OUTRIGHT:
        return f"neither front lies wholly on the better side: {', '.join(parts)} in {what}"
    return f"the fronts do not overlap in {what}: {', '.join(parts)}"
