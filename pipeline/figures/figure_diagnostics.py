"""Gamma, features alive and the cross-entropy that splicing adds, each against L0."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import versus_l0
from pipeline.figures.inputs import FigureInputs, Looks, drawn
from pipeline.figures.measures import ALIVE, CE_ADDED, GAMMA, alive


def data(source: FigureInputs) -> pd.DataFrame:
    """One row per finished run: gamma, alive_fraction on held-out tokens, delta_ce in nats per prediction."""
    return drawn(source, [measure.column for measure in (GAMMA, ALIVE, CE_ADDED)])


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    return versus_l0.draw(points, looks, (GAMMA, alive(points), CE_ADDED))
