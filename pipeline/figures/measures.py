"""What figures show against L0, with the limits that the paper's claims are judged by."""

from dataclasses import replace

import pandas as pd

from pipeline.analysis.frontier import as_floats
from pipeline.comparison.questions import SHRUNK, UNBIASED
from pipeline.comparison.shrinkage import HEALTHY
from pipeline.figures.inputs import ALIVE_FREQUENCY
from pipeline.figures.versus_l0 import Measure

LOSS_RECOVERED = Measure("loss_recovered", "Loss recovered (fraction)", 1.9, levels=(0.0, 1.0), by="by zero ablation")
"""The lines: zero ablation, and splicing that costs nothing."""
GAMMA = Measure(
    "gamma", "Relative reconstruction\nbias gamma (ratio)", 1.7, levels=(1.0, SHRUNK),
    band=(1 - UNBIASED, 1 + UNBIASED), reach=(1.0,),
    meaning=f"claims: gamma 1 \N{PLUS-MINUS SIGN} {UNBIASED:g} (grey), {SHRUNK:g}",
)  # fmt: skip
"""Gamma of a dying dictionary drifts to 1 or above: it cannot be read without the share of features alive."""
ALIVE = Measure(
    "alive_fraction", "Alive fraction", 1.2, levels=(HEALTHY,), reach=(HEALTHY, 1.0),
    meaning=f"claims: {HEALTHY:g} alive",
)  # fmt: skip
CE_ADDED = Measure("delta_ce", "CE added\n(nats per prediction)", 1.5, levels=(0.0,), log=True)


def alive(points: pd.DataFrame) -> Measure:
    """ALIVE, its label saying at which frequency, where the records know it."""
    known = sorted(set(as_floats(points[ALIVE_FREQUENCY].dropna()))) if ALIVE_FREQUENCY in points else []
    if not known:
        return ALIVE
    return replace(ALIVE, label=f"{ALIVE.label} (on {' or '.join(f'{share:g}' for share in known)} of tokens)")
