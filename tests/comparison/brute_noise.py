"""How sure the comparison is, a second time: documents redrawn, seeds left out, both together. From docs/statistics.md.

Deviations and standard errors are those of the headline, or of the difference at one place.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.comparison.t_distribution import t_quantile
from tests.comparison import brute_force as by_definition
from tests.comparison.brute_force import Point
from tests.comparison.brute_records import Run

LEVEL = 0.95
NORMAL = statistics.NormalDist().inv_cdf(0.5 + LEVEL / 2)
LOSS_RECOVERED = {"zero": "loss_recovered", "mean": "loss_recovered_mean_ablation"}
Arm = Sequence[Sequence[Run]]


# ---------------------------------------------------------------------------------------------------- runs to numbers


def recorded(run: Run, fidelity: str) -> Point:
    """Log L0 and fidelity as the record states them.

    Args:
        fidelity: zero or mean, for loss recovered by that ablation; or delta_ce, for minus the cross-entropy added.
    """
    metrics = run.metrics
    if fidelity == "delta_ce":
        return math.log(metrics["l0"]), -(metrics["ce_sae"] - metrics["ce_clean"])
    return math.log(metrics["l0"]), metrics[LOSS_RECOVERED[fidelity]]


def redrawn(run: Run, fidelity: str, times: Sequence[float]) -> Point:
    """The same over documents, each counted so many times."""
    assert run.sums is not None
    total = {
        name: sum(count * value for count, value in zip(times, values, strict=True))
        for name, values in run.sums.items()
    }
    l0 = total["l0"] / total["tokens"]
    log_l0 = math.log(l0) if l0 > 0 else -math.inf
    if fidelity == "delta_ce":
        return log_l0, -(total["ce_sae"] - total["ce_clean"]) / total["predictions"]
    return log_l0, recovered(total[f"ce_{fidelity}"], total["ce_sae"], total["ce_clean"])


def recovered(ablated: float, sae: float, clean: float) -> float:
    return (ablated - sae) / (ablated - clean) if ablated != clean else math.nan


# ------------------------------------------------------------------------------------------------------ the estimate


@dataclass(frozen=True)
class Estimate:
    """Two fronts and their difference along what they share."""

    fronts: tuple[list[Point], list[Point]]  # reference, candidate
    along: int
    interval: tuple[float, float]
    at: list[float]
    difference: list[float]

    @property
    def headline(self) -> float:
        return by_definition.headline(self.difference)

    def again(self, reference: Sequence[Point], candidate: Sequence[Point]) -> list[float]:
        """The difference at the same places between two other fronts, which go straight on where they end."""
        goes_on = [
            lambda line, along, place, sample=sample: by_definition.read_on(line, sample, along, place)
            for sample in self.fronts
        ]
        return by_definition.differences(reference, candidate, self.along, self.at, (goes_on[0], goes_on[1]))


def estimate(
    reference: Arm, candidate: Arm, along: int, fidelity: str, within: tuple[float, float] = (-math.inf, math.inf)
) -> Estimate | None:
    """None where the fronts share nothing, or nothing within an interval."""
    measured = partial(recorded, fidelity=fidelity)
    first, second = (by_definition.front(by_definition.points(arm, measured)) for arm in (reference, candidate))
    interval = by_definition.shared(first, second, along)
    if interval is None:
        return None
    interval = max(interval[0], within[0]), min(interval[1], within[1])
    if interval[0] > interval[1]:
        return None
    at = by_definition.places(*interval)
    return Estimate((first, second), along, interval, at, by_definition.differences(first, second, along, at))


@dataclass(frozen=True)
class Outright:
    """Two fronts of which one is better throughout, and the two gaps between them."""

    fronts: tuple[list[Point], list[Point]]  # reference, candidate
    difference: list[float]

    def again(self, reference: Sequence[Point], candidate: Sequence[Point]) -> list[float]:
        """The gaps between the same ends of two other fronts."""
        return list(by_definition.facing(reference, candidate, 1 if self.difference[0] > 0 else -1))


def outright(reference: Arm, candidate: Arm, fidelity: str) -> Outright | None:
    """None where neither front is better in both throughout."""
    measured = partial(recorded, fidelity=fidelity)
    first, second = (by_definition.front(by_definition.points(arm, measured)) for arm in (reference, candidate))
    gaps = by_definition.outright(first, second)
    return None if gaps is None else Outright((first, second), list(gaps))


# ---------------------------------------------------------------------------------------------------------- the text


def text_replicates(
    found: Estimate | Outright, reference: Arm, candidate: Arm, fidelity: str, weights: np.ndarray
) -> list[list[float]]:
    """The difference at every place, for every draw of documents (weights without the sample itself).

    Its deviations from the estimate are made larger, at every place, for what redrawing G documents loses.
    """
    count = weights.shape[1]
    wider = math.sqrt(count / (count - 1))
    replicates = []
    for times in weights.tolist():
        measured = partial(redrawn, fidelity=fidelity, times=times)
        first, second = (by_definition.front(by_definition.points(arm, measured)) for arm in (reference, candidate))
        again = found.again(first, second)
        replicates.append(
            [value + wider * (other - value) for value, other in zip(found.difference, again, strict=True)]
        )
    return replicates


def effective_documents(sizes: Sequence[float]) -> float:
    """How many equally large documents would average as well."""
    return sum(sizes) ** 2 / sum(size**2 for size in sizes)


def text_errors(deviated: Sequence[float]) -> tuple[float, float]:
    """Standard errors towards the lower and the upper end, each by its own percentile."""
    low, high = np.quantile(deviated, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return max(-float(low) / NORMAL, 0.0), max(float(high) / NORMAL, 0.0)


def text_interval(values: Sequence[float], documents: int, freedom: float) -> tuple[float, float]:
    """Of a pooled sum: the first value is the sample's, the others are redrawn."""
    estimate, wider = values[0], math.sqrt(documents / (documents - 1))
    low, high = np.quantile([wider * (value - estimate) for value in values[1:]], [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    factor = t_quantile(0.5 + LEVEL / 2, freedom) / NORMAL
    return estimate + factor * float(low), estimate + factor * float(high)


def gap_interval(run: Run, ablation: str, weights: np.ndarray) -> tuple[float, float]:
    """Of what ablating the site costs, nats a prediction; the first weights are the sample's."""
    assert run.sums is not None
    sums, gaps = run.sums, []
    for times in weights.tolist():
        cost = sum(t * (a - c) for t, a, c in zip(times, sums[f"ce_{ablation}"], sums["ce_clean"], strict=True))
        gaps.append(cost / sum(t * n for t, n in zip(times, sums["predictions"], strict=True)))
    return text_interval(gaps, weights.shape[1], effective_documents(sums["predictions"]) - 1)


def healthy(arm: Arm) -> list[Sequence[Run]]:
    """The points on the front that have 90 % of their features alive, and a gamma."""
    measured = partial(recorded, fidelity="delta_ce")
    line = by_definition.front(by_definition.points(arm, measured))
    return [
        runs
        for runs in arm
        if by_definition.points([runs], measured)[0] in line
        and statistics.fmean(run.metrics["alive_fraction"] for run in runs) >= 0.9
        and all(math.isfinite(run.metrics["gamma"]) for run in runs)
    ]


def mean_gamma(points: Sequence[Sequence[Run]], times: Sequence[float] | None) -> float:
    """Over points, each the mean over its runs; from the records, or over documents counted so many times."""
    return statistics.fmean(statistics.fmean(gamma(run, times) for run in runs) for runs in points)


def gamma(run: Run, times: Sequence[float] | None) -> float:
    if times is None:
        return run.metrics["gamma"]
    assert run.sums is not None
    x_xhat, xhat_xhat = (
        sum(t * v for t, v in zip(times, run.sums[name], strict=True)) for name in ("x_xhat", "xhat_xhat")
    )
    return xhat_xhat / x_xhat


# ------------------------------------------------------------------------------------------------------- the training


def seeds_throughout(found: Estimate | Outright, reference: Arm, candidate: Arm, fidelity: str) -> list[int]:
    """The seeds with a run at every point of both fronts."""
    measured, common = partial(recorded, fidelity=fidelity), None
    for arm, line in zip((reference, candidate), found.fronts, strict=True):
        for runs in arm:
            if by_definition.points([runs], measured)[0] in line:
                here = {run.seed for run in runs}
                common = here if common is None else common & here
    return sorted(common or ())


def seed_replicates(
    found: Estimate | Outright, reference: Arm, candidate: Arm, fidelity: str, seeds: Sequence[int]
) -> list[list[float]]:
    """The difference at every place without each seed in turn."""
    measured, replicates = partial(recorded, fidelity=fidelity), []
    for seed in seeds:
        first, second = (
            by_definition.front(
                by_definition.points([[run for run in runs if run.seed != seed] for runs in arm], measured)
            )
            for arm in (reference, candidate)
        )
        replicates.append(found.again(first, second))
    return replicates


def contributions(left_out: Sequence[float]) -> list[float]:
    """Of each seed to the jackknife's variance: their squares add up to it."""
    count, mean = len(left_out), statistics.fmean(left_out)
    return [math.sqrt((count - 1) / count) * (value - mean) for value in left_out]


def jackknife_error(left_out: Sequence[float]) -> float:
    return math.sqrt(sum(value**2 for value in contributions(left_out)))


# ------------------------------------------------------------------------------------------------------------- both


def satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own.

    Args:
        parts: variances and their degrees of freedom.
    """
    total = sum(variance for variance, _ in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def half(errors: Sequence[tuple[float, float]], level: float = LEVEL) -> float:
    """Half an interval of this level at one end, for one kind of noise or for both: no less than for either.

    Args:
        errors: standard error of each part, and its degrees of freedom.
    """
    parts = [(error**2, freedom) for error, freedom in errors]
    if sum(variance for variance, _ in parts) == 0:
        return 0.0
    error = math.sqrt(sum(variance for variance, _ in parts))
    alone = [t_quantile(0.5 + level / 2, freedom) * each for each, freedom in errors]
    return max(t_quantile(0.5 + level / 2, satterthwaite(parts)) * error, *alone)


def repeat_half(seed_error: float, seeds: int) -> float:
    """Half the interval for the estimate of another sweep with as many other seeds, on the same text."""
    return t_quantile(0.5 + LEVEL / 2, seeds - 1) * math.sqrt(2) * seed_error


# --------------------------------------------------------------------------------------------------- along the interval


def pooled_errors(errors: Sequence[float]) -> list[float]:
    """Standard errors over seeds at each place, half and half with their mean square along the interval."""
    mean_square = statistics.fmean(error**2 for error in errors)
    return [math.sqrt((error**2 + mean_square) / 2) for error in errors]


def pooled_contributions(by_seed: Sequence[Sequence[float]]) -> list[list[float]]:
    """Of each seed at every place, made as large as the pooled standard error there.

    Args:
        by_seed: without each seed, then place.
    """
    if not by_seed:
        return []
    places = [contributions(place) for place in zip(*by_seed, strict=True)]
    errors = [math.sqrt(sum(value**2 for value in place)) for place in places]
    scaled = [
        [value * pooled / error if error else 0.0 for value in place]
        for place, error, pooled in zip(places, errors, pooled_errors(errors), strict=True)
    ]
    return [list(seed) for seed in zip(*scaled, strict=True)]


def errors_along(by_text: Sequence[Sequence[float]], by_seed: Sequence[Sequence[float]]) -> list[float]:
    """The standard error at every place for both kinds of noise.

    Args:
        by_text: by draw of documents, then place.
        by_seed: without each seed, then place; empty where the noise of training was not measured.
    """
    places = range(len(by_text[0]))
    training = pooled_errors([jackknife_error([curve[n] for curve in by_seed]) if by_seed else 0.0 for n in places])
    return [math.hypot(statistics.pstdev(curve[n] for curve in by_text), training[n]) for n in places]


def errors_of_gaps(by_text: Sequence[Sequence[float]], by_seed: Sequence[Sequence[float]]) -> list[float]:
    """As `errors_along`, for gaps of different units: nothing is pooled."""
    gaps = range(len(by_text[0]))
    training = [jackknife_error([curve[n] for curve in by_seed]) if by_seed else 0.0 for n in gaps]
    return [math.hypot(statistics.pstdev(curve[n] for curve in by_text), training[n]) for n in gaps]


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Which questions are answered, so that any false answer has this chance at most: Holm's procedure."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    answered = [False] * len(p_values)
    for rank, number in enumerate(order):
        if p_values[number] > level / (len(p_values) - rank):
            break
        answered[number] = True
    return answered
