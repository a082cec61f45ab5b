"""Relative reconstruction bias gamma against L0, as the paper's figures 6 and 14, above the alive fraction.

Gamma of a dying dictionary drifts to 1 or above, so that neither can be read without the other.
"""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import versus_l0
from pipeline.figures.inputs import FigureInputs, Looks, drawn
from pipeline.figures.measures import GAMMA, alive


def data(source: FigureInputs) -> pd.DataFrame:
    """The points of the figure, one row per finished run; gamma is NaN where no feature fired at all."""
    return drawn(source, ["gamma", "alive_fraction"])


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    return versus_l0.draw(points, looks, (GAMMA, alive(points)))
