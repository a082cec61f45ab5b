"""Quantiles of Student's t, without SciPy: the pipeline needs nothing else of it."""

import math

import numpy as np

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


def t_cdf(t: float, freedom: float) -> float:
    """P(T <= t); with t = sqrt(freedom) tan(angle) the density is a power of the cosine, here by Gauss-Legendre."""
    if freedom <= 0:
        raise ValueError(f"{freedom} degrees of freedom are none")
    angle = math.atan(t / math.sqrt(freedom))
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)
    cosines = np.cos(0.5 * angle * (NODES + 1))
    return 0.5 + 0.5 * angle * math.exp(log_scale) * float(WEIGHTS @ cosines ** (freedom - 1))


def t_quantile(probability: float, freedom: float) -> float:
    """The t below which a variable lies with this probability, by bisection."""
    if not 0.5 < probability < 1:
        raise ValueError(f"{probability} is not in the upper half")
    low, high = 0.0, 1.0
    while t_cdf(high, freedom) < probability:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2
