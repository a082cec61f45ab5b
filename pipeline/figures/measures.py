"""What figures show against L0, with the limits that the paper's claims are judged by."""

from pipeline.comparison.questions import SHRUNK, UNBIASED
from pipeline.comparison.shrinkage import HEALTHY
from pipeline.figures.against_l0 import Measure

LOSS_RECOVERED = Measure("loss_recovered", "Loss recovered", 1.9, levels=(0.0, 1.0))
"""The lines: zero ablation, and splicing that costs nothing."""
GAMMA = Measure(
    "gamma", "Relative reconstruction\nbias gamma", 1.7, levels=(1.0, SHRUNK), band=(1 - UNBIASED, 1 + UNBIASED),
    reach=(1.0,), meaning=f"claims: gamma 1 \N{PLUS-MINUS SIGN} {UNBIASED:g} (grey), {SHRUNK:g}",
)  # fmt: skip
"""Gamma of a dying dictionary drifts to 1 or above: it cannot be read without the share of features alive."""
ALIVE = Measure(
    "alive_fraction", "Alive fraction", 1.2, levels=(HEALTHY,), reach=(HEALTHY, 1.0),
    meaning=f"claims: {HEALTHY:g} alive",
)  # fmt: skip
CE_ADDED = Measure("delta_ce", "CE added\n(nats per prediction)", 1.5, levels=(0.0,), log=True)
