"""Quantiles and tails of Student's t."""

from scipy import special


def t_quantile(probability: float, freedom: float) -> float:
    """The t below which a variable lies with this probability."""
    return float(special.stdtrit(freedom, probability))


def two_tails(t: float, freedom: float) -> float:
    """P(|T| > t)."""
    return float(2 * special.stdtr(freedom, -abs(t)))
