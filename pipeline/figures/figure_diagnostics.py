"""Gamma, dead features and the cross-entropy that splicing costs, each against L0."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import against_l0
from pipeline.figures.material import Looks, Material, drawn

MEASURES = (
    against_l0.Measure("gamma", "Gamma", 1.1, levels=(1.0,), reach=(1.0,)),
    against_l0.Measure("dead_fraction", "Dead fraction", 1.1, reach=(0.0,)),
    against_l0.Measure("delta_ce", "Increase of CE\n(nats)", 1.1, levels=(0.0,), log=True),
)


def data(source: Material) -> pd.DataFrame:
    """One row a finished run: dead_fraction of held-out tokens, delta_ce in nats a prediction with its interval."""
    return drawn(source, [measure.column for measure in MEASURES])


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    return against_l0.draw(points, looks, MEASURES)
