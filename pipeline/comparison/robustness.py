"""What the headline depends on: the same ratio with other defensible choices.

Numbers without intervals of their own. Where they lie further apart than the headline's interval is wide, the interval
says less than it seems to.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from pipeline.analysis.curves import Floats, as_ratio, fronts
from pipeline.analysis.frontier import axes_of
from pipeline.comparison.along import RATIO, Sampler, reading
from pipeline.comparison.arms import Pair, fronts_of, pairs
from pipeline.comparison.compare import Compared
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.measure import Measured, measure
from pipeline.comparison.panel import Panel
from pipeline.comparison.tables import WHICH, of_pair

SETTINGS = ("train.steps", "train.data_directions")
"""Settings of training by which the runs of both arms are taken apart where they differ."""
COLUMNS = (
    *WHICH, "alternative", "ratio_median", "note", "d_sae_reference", "d_sae_candidate", "data.name", "evaluation.id",
)  # fmt: skip


@dataclass(frozen=True)
class Alternative:
    """One other choice."""

    name: str
    ratio: float  # NaN where the fronts share nothing then
    note: str = ""
    pruned: bool = False  # another question than the headline's, rather than another choice


@dataclass(frozen=True)
class Robustness:
    """All alternatives to the headline of one pair of fronts."""

    panel: Panel
    headline: Measured
    alternatives: list[Alternative]

    @property
    def ratio(self) -> float:
        """The headline's."""
        assert self.headline.estimate is not None
        return float(np.exp(self.headline.estimate.median))

    def interval(self) -> tuple[float, float] | None:
        """The headline's widest interval that was measured."""
        found = self.headline.estimate
        assert found is not None
        low, high = as_ratio(found.noise.widest(found.median))
        return (float(low), float(high)) if np.isfinite(low) else None

    @property
    def choices(self) -> list[Alternative]:
        """The alternatives that answer the headline's own question."""
        return [other for other in self.alternatives if not other.pruned]

    def outside(self) -> list[Alternative]:
        """The choices whose ratio lies outside that interval."""
        ends = self.interval()
        if ends is None:
            return []
        low, high = (round(end, 2) for end in ends)  # as they are printed
        return [other for other in self.choices if round(other.ratio, 2) < low or round(other.ratio, 2) > high]


def robustness(one: Compared, again: Sequence[Compared]) -> list[Robustness]:
    """Of every pair's ratio by zero ablation in a panel.

    Args:
        again: the panel's scenarios with pruned runs (`pipeline.comparison.pruning`).
    """
    return [
        Robustness(one.panel, measured, list(_alternatives(one, measured, measured.estimate, again)))
        for measured in one.measured
        if measured.kind == RATIO and measured.ablation == "zero" and measured.estimate is not None
    ]


def _alternatives(
    one: Compared, measured: Measured, found: Estimate, scenarios: Sequence[Compared]
) -> Iterator[Alternative]:
    pair, point = measured.pair, replace(one.panel, sums=None, drawn=np.ones((1, 1)))
    for scenario in scenarios:
        again = (_alternative(scenario.scenario, other) for other in scenario.measured if _same(other, measured))
        yield from (replace(other, pruned=True) for other in again)
    yield from _left_out(point, measured)
    yield Alternative("joined by monotone cubics (PCHIP)", _smooth(point, measured, found))
    yield Alternative("median even in log L0", _even_in_log_l0(found))
    for other in one.measured:
        if other.kind == RATIO and other.ablation == "zero" and _same_candidate(other.pair, pair):
            yield _alternative(f"by {' + '.join(other.pair.names)}", other)
    yield from _by_setting(point, one, measured)


def _alternative(name: str, measured: Measured) -> Alternative:
    found = measured.estimate
    return Alternative(name, np.nan if found is None else float(np.exp(found.median)), measured.note)


def _same(other: Measured, measured: Measured) -> bool:
    """Whether two readings are of the same arms, in the same way."""
    arms = [
        [(front.architecture, front.d_sae) for front in each.pair.fronts] + [each.kind, each.ablation]
        for each in (other, measured)
    ]
    return arms[0] == arms[1]


def _same_candidate(other: Pair, pair: Pair) -> bool:
    return other is not pair and other.candidate is pair.candidate


def _left_out(panel: Panel, measured: Measured) -> Iterator[Alternative]:
    """The lowest and the highest ratio with one point left out of an arm."""
    axis = axes_of(panel.runs)[0]
    arms = [panel.sample(front, measured.fidelity) for front in measured.pair.fronts]
    for number, front in enumerate(measured.pair.fronts):
        settings = panel.runs[axis].iloc[front.runs[front.starts]]
        ratios = {}
        for place, value in enumerate(settings if len(front.starts) > 1 else ()):
            changed = [*arms[:number], _without(arms[number], place), *arms[number + 1 :]]
            ratios[f"without {front.architecture}'s {_word(axis)} {_text(value)}"] = _ratio(*changed)
        known = {name: ratio for name, ratio in ratios.items() if np.isfinite(ratio)}
        for name in dict.fromkeys(
            [min(known, key=known.__getitem__), max(known, key=known.__getitem__)] if known else []
        ):
            yield Alternative(name, known[name])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _without(arm: Sampler, place: int) -> Sampler:
    """An arm's points but one."""
    x, y = (np.delete(values, place, axis=1) for values in arm(slice(0, 1)))
    return lambda rows: (x[rows], y[rows])


def _ratio(reference: Sampler, candidate: Sampler) -> float:
    """The median ratio along all that two fronts share; NaN where that is nothing."""
    read = reading(RATIO, reference, candidate)
    return np.nan if read is None else float(np.exp(np.median(read.difference(reference, candidate, 1)[0])))


def _word(axis: str) -> str:
    return "lambda" if axis == "sparsity_coefficient" else axis.rsplit(".", 1)[-1]


def _smooth(panel: Panel, measured: Measured, found: Estimate) -> float:
    """The ratio over the same interval with fronts joined by monotone cubics (Fritsch and Carlson, 1980)."""
    curves: list[Floats] = []
    for front in measured.pair.fronts:
        x, y = (row[0] for row in fronts(*panel.sample(front, measured.fidelity)(slice(0, 1))))
        known, kept = np.unique(y, return_index=True)
        if len(known) < 2:
            return float("nan")
        curves.append(PchipInterpolator(known, x[kept])(found.at))
    return float(np.exp(np.median(curves[0] - curves[1])))


def _even_in_log_l0(found: Estimate) -> float:
    """The ratio's median with as much weight for every factor of L0, of both arms together, as for every other."""
    weights = np.abs(np.gradient(found.reference + found.candidate))
    order = np.argsort(found.difference)
    passed = np.cumsum(weights[order])
    if not passed[-1] > 0:
        return float("nan")
    return float(np.exp(found.difference[order][np.searchsorted(passed, passed[-1] / 2)]))


def _by_setting(panel: Panel, one: Compared, measured: Measured) -> Iterator[Alternative]:
    """The same two arms with runs of one value of a setting alone, where both have several."""
    for name in SETTINGS:
        values = sorted(panel.runs[name].dropna().unique()) if name in panel.runs else []
        for value in values if len(values) > 1 else ():
            part = replace(panel, runs=panel.runs[panel.runs[name] == value].reset_index(drop=True))
            for pair in pairs(fronts_of(part.runs), one.arms):
                other = measure(part, pair, RATIO, measured.ablation)
                if _same(other, measured):
                    yield _alternative(f"with {name}={_text(value)} alone", other)


def table(found: Iterable[Robustness]) -> pd.DataFrame:
    """robustness.csv: the headline first, then each alternative."""
    rows = []
    for one in found:
        first = _alternative("as it is", one.headline)
        for other in (first, *one.alternatives):
            values = {"alternative": other.name, "ratio_median": other.ratio, "note": other.note}
            rows += [named | values for named in of_pair(one.panel, one.headline.pair)]
    return pd.DataFrame(rows, columns=list(COLUMNS))
