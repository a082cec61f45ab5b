"""Many questions, a chance of 5 % of any wrong answer: Holm's step-down procedure (1979)."""

import numpy as np

from pipeline.analysis.curves import Floats
from pipeline.comparison.bootstrap import LEVEL


def holm(p: Floats) -> Floats:
    """Adjusted p-values: a question is answered where its own is at most 1 - LEVEL. NaN are no questions."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted


def answered(adjusted: float) -> bool:
    return bool(adjusted <= 1 - LEVEL + 1e-12)
