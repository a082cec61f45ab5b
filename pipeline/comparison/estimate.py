"""A difference of two fronts along what they share, and how sure it is."""

from dataclasses import dataclass

import numpy as np

from pipeline.analysis.curves import Floats
from pipeline.comparison import bootstrap, seeds
from pipeline.comparison.along import OUTRIGHT, RATIO, Gaps, Reading, gaps, reading
from pipeline.comparison.arms import Pair
from pipeline.comparison.band import Band
from pipeline.comparison.direction import Direction, direction
from pipeline.comparison.noise import Noise, Text, Training
from pipeline.comparison.panel import Fidelity, Panel

NARROW = 1.25
"""Where neither arm's L0 changes by this factor along the interval, it is hardly more than one point."""
MOST_LOST = 0.05
"""Share of draws that may have no value; beyond it there is no interval."""


@dataclass(frozen=True)
class Estimate:
    """Above 0: the candidate is better. For RATIO it is a log ratio of L0, for SAVED fidelity, for OUTRIGHT gaps."""

    kind: str
    low: float
    high: float
    at: Floats  # [places]
    reference: Floats  # [places] what was read off
    candidate: Floats
    noise: Noise  # of the median
    band: Band | None
    n_seeds: int
    notes: dict[str, str]  # by kind of noise: why it was not measured

    @property
    def difference(self) -> Floats:
        """[places]"""
        return _difference(self.kind, self.reference, self.candidate)

    @property
    def median(self) -> float:
        return float(np.median(self.difference))

    @property
    def direction(self) -> Direction:
        return direction(self.difference, self.at, self.band)

    @property
    def narrow(self) -> bool:
        """Whether a ratio's interval is hardly more than one point of either front."""
        return self.kind == RATIO and all(
            float(np.ptp(arm)) < np.log(NARROW) for arm in (self.reference, self.candidate)
        )


def estimate(
    kind: str, panel: Panel, pair: Pair, fidelity: Fidelity, within: tuple[float, float] | None = None
) -> Estimate | None:
    """One pair of fronts; None where they share nothing of that kind.

    Args:
        within: an interval that the shared one is cut to.
    """
    reference, candidate = (panel.sample(front, fidelity) for front in pair.fronts)
    read = gaps(reference, candidate) if kind == OUTRIGHT else reading(kind, reference, candidate, within)
    if read is None:
        return None
    of_reference, of_candidate = (values[0] for values in read.values(reference, candidate, 1))
    sample = _difference(kind, of_reference, of_candidate)
    by_text, problem = _by_text(panel, pair, fidelity, read, sample)
    without_each, count, lacking = _without_each(panel, pair, fidelity, read)
    freedom = bootstrap.freedom(panel.sums) if panel.sums is not None else np.nan
    noise = Noise(
        None if by_text is None else Text.of(_medians(sample + by_text) - np.median(sample), freedom),
        None if without_each is None else Training.of(_medians(without_each)),
    )
    notes = {name: why for name, why in (("sequences", problem), ("seeds", lacking)) if why}
    band_of = Band.of_gaps if kind == OUTRIGHT else Band.of
    band = None if by_text is None else band_of(by_text, freedom, without_each)
    return Estimate(kind, read.low, read.high, read.at, of_reference, of_candidate, noise, band, count, notes)


def _difference(kind: str, reference: Floats, candidate: Floats) -> Floats:
    """Of what was read off both fronts; above 0 where the candidate is better."""
    return reference - candidate if kind == RATIO else candidate - reference


def _medians(curves: Floats) -> Floats:
    medians: Floats = np.median(curves, axis=1)
    return medians


def _by_text(
    panel: Panel, pair: Pair, fidelity: Fidelity, read: Reading | Gaps, sample: Floats
) -> tuple[Floats | None, str]:
    """[replicates, places] widened deviations over draws of documents; or why there are none."""
    problem = panel.unmeasured(pair.fronts)
    if problem is not None or panel.sums is None or len(panel.drawn) < 2:
        return None, f"no interval over sequences: {problem or panel.undrawn}"
    reference, candidate = (panel.resampled(front, fidelity) for front in pair.fronts)
    deviations = read.difference(reference, candidate, len(panel.drawn))[1:] - sample
    kept = np.isfinite(deviations).all(1)
    if kept.mean() < 1 - MOST_LOST:
        return None, "no interval over sequences: too many redrawn fronts have no point"
    return deviations[kept] * bootstrap.widening(panel.sums), ""


def _without_each(panel: Panel, pair: Pair, fidelity: Fidelity, read: Reading | Gaps) -> tuple[Floats | None, int, str]:
    """[seeds, places] the difference without each seed in turn, or why there is none; and how many seeds there are."""
    of_run, x, y = panel.seeds, panel.x, panel.y(fidelity)
    common = seeds.common_seeds(pair, of_run, x, y)
    if len(common) < seeds.FEWEST_SEEDS:
        each = [len(seeds.seeds_of(front, of_run, x, y)) for front in pair.fronts]
        why = f"{len(common)} of {seeds.FEWEST_SEEDS} seeds"
        if min(each) >= seeds.FEWEST_SEEDS:  # as many as it takes, but other ones
            why = f"the arms share {len(common)} seed{'' if len(common) == 1 else 's'}; give both the same"
        return None, len(common), f"seed noise not measured ({why})"
    reference, candidate = (seeds.leaving_one_out(front, of_run, common, x, y) for front in pair.fronts)
    found = read.difference(reference, candidate, 1 + len(common))[1:]
    if not np.isfinite(found).all():
        return None, len(common), "seed noise not measured: a front without a seed has no point"
    return found, len(common), ""
