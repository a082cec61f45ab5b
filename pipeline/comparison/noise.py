"""How sure one number is: the noise of the held-out text, of training, and of both together.

Variances add. Degrees of freedom are Satterthwaite's (1946). The text's two ends are kept apart, so that an interval
may be asymmetric.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.analysis.curves import Floats
from pipeline.comparison.bootstrap import LEVEL, NORMAL_QUANTILE
from pipeline.comparison.t_distribution import t_quantile, two_tails

Kind = Literal["sequences", "seeds", "both"]
KINDS: tuple[Kind, ...] = ("sequences", "seeds", "both")
UPPER = 0.5 + LEVEL / 2


@dataclass(frozen=True)
class Text:
    """How far other documents would move an estimate: standard errors towards either end."""

    low: float
    high: float
    freedom: float

    @classmethod
    def of(cls, deviations: Floats, freedom: float) -> "Text":
        """From deviations of replicates, already widened; each end by its own quantile."""
        tails = np.quantile(deviations, [1 - UPPER, UPPER]) / NORMAL_QUANTILE
        return cls(max(-float(tails[0]), 0.0), max(float(tails[1]), 0.0), freedom)


@dataclass(frozen=True)
class Training:
    """How far other seeds would move an estimate: one standard error."""

    error: float
    seeds: int

    @classmethod
    def of(cls, without_each: Floats) -> "Training":
        """From the estimates without each seed in turn: the jackknife."""
        count = len(without_each)
        spread = float(((without_each - without_each.mean()) ** 2).sum())
        return cls(math.sqrt((count - 1) / count * spread), count)

    @property
    def freedom(self) -> float:
        return self.seeds - 1


@dataclass(frozen=True)
class Noise:
    """Of one estimate; what was not measured is None."""

    text: Text | None = None
    training: Training | None = None

    def interval(self, estimate: float, kind: Kind) -> tuple[float, float]:
        """Lower and upper end at 95 %; NaN where this kind was not measured, `both` where either was not.

        Satterthwaite's degrees of freedom can make `both` narrower than a part of it: then that part is taken.
        """
        parts = self._parts(kind)
        if parts is None:
            return math.nan, math.nan
        wider = [parts] if kind != "both" else [parts, *(self._parts(part) or parts for part in ("sequences", "seeds"))]
        low, high = (
            max(t_quantile(UPPER, freedom) * error for error, freedom in end) for end in zip(*wider, strict=True)
        )
        return estimate - low, estimate + high

    def widest(self, estimate: float) -> tuple[float, float]:
        """The interval of both noises, or of the one that was measured."""
        if self.text is None and self.training is not None:
            return self.interval(estimate, "seeds")
        return self.interval(estimate, "sequences" if self.training is None else "both")

    def repeat(self, estimate: float) -> tuple[float, float]:
        """Where a repeat with as many other seeds, on the same text, would put the estimate, at 95 %."""
        if self.training is None:
            return math.nan, math.nan
        half = t_quantile(UPPER, self.training.freedom) * math.sqrt(2) * self.training.error
        return estimate - half, estimate + half

    def p_within(self, estimate: float, low: float, high: float) -> float:
        """The smallest level at which the whole interval lies between these limits; NaN where nothing was measured."""
        return max(self._p(estimate, low, +1), self._p(estimate, high, -1))

    def p_above(self, estimate: float, limit: float) -> float:
        """The smallest level at which the whole interval lies above the limit."""
        return self._p(estimate, limit, +1)

    def p_below(self, estimate: float, limit: float) -> float:
        return self._p(estimate, limit, -1)

    def _p(self, estimate: float, limit: float, side: int) -> float:
        """For an interval that lies on this side of the limit; 1 where the estimate itself does not."""
        parts = [part for kind in KINDS if (part := self._parts(kind)) is not None]
        if self.text is None or not math.isfinite(estimate):
            return math.nan
        distance = side * (estimate - limit)
        if distance <= 0:
            return 1.0
        ends = [part[0 if side > 0 else 1] for part in parts]
        return max(two_tails(distance / error, freedom) if error > 0 else 0.0 for error, freedom in ends)

    def _parts(self, kind: Kind) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Standard error and degrees of freedom, towards the lower and the upper end."""
        text, training = self.text, self.training
        if kind == "seeds":
            return None if training is None else ((training.error, training.freedom),) * 2
        if text is None or (kind == "both" and training is None):
            return None
        ends = text.low, text.high
        if kind == "sequences" or training is None:
            return (ends[0], text.freedom), (ends[1], text.freedom)
        low, high = (added([(end, text.freedom), (training.error, training.freedom)]) for end in ends)
        return low, high


def added(parts: list[tuple[float, float]]) -> tuple[float, float]:
    """Standard error of a sum of independent parts, and Satterthwaite's degrees of freedom.

    Args:
        parts: standard error and degrees of freedom of each.
    """
    variance = sum(error**2 for error, _ in parts)
    if variance == 0:
        return 0.0, max(freedom for _, freedom in parts)
    return math.sqrt(variance), variance**2 / sum(error**4 / freedom for error, freedom in parts if error)
