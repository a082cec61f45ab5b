"""Bands along the whole interval and their p-values, a second time, by simulation. From docs/statistics.md."""

import math
from collections.abc import Sequence

import numpy as np


def largest_deviations(
    text: Sequence[Sequence[float]], seeds: Sequence[Sequence[float]], errors: Sequence[float], freedom: float,
    draws: int, rng: np.random.Generator,
) -> list[float]:  # fmt: skip
    """In each draw how many standard errors the largest deviation along the interval amounts to.

    Args:
        text: by draw of documents the deviations at every place, of which each draw here takes one.
        seeds: by seed its contributions at every place, whose squares add to the variance over seeds that `errors`
            holds; each is multiplied by a normal number.
        errors: the standard error at every place.
        freedom: degrees of freedom of the standard errors, whose own noise is chi-squared.
    """
    found = []
    for _ in range(draws):
        documents = text[rng.integers(len(text))]
        normal = rng.normal(size=len(seeds))
        scale = math.sqrt(rng.chisquare(freedom) / freedom)
        moved = np.asarray(documents) + sum(z * np.asarray(seed) for z, seed in zip(normal, seeds, strict=True))
        found.append(float(np.max(np.abs(moved) / np.asarray(errors))) / scale)
    return found


def needed(difference: Sequence[float], errors: Sequence[float]) -> dict[str, float]:
    """The largest multiple of the standard errors at which the band would still say each word; below 0: at none."""
    shares = [value / error if error > 0 else math.copysign(math.inf, value) if value else 0.0
              for value, error in zip(difference, errors, strict=True)]  # fmt: skip
    return {"above": min(shares), "below": -max(shares), "crossing": min(max(shares), -min(shares))}


def p_value(multiple: float, largest: Sequence[float]) -> float:
    """The smallest level at which the band would say so: the share of draws that deviate as far by chance."""
    return sum(value >= multiple for value in largest) / len(largest) if multiple > 0 else 1.0
