"""Loss recovered against L0, one panel per site and layer, as the paper's figures 1, 5, 12 and 13."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import against_l0
from pipeline.figures.material import Looks, Material, drawn
from pipeline.figures.measures import LOSS_RECOVERED

MEASURES = (LOSS_RECOVERED,)


def data(source: Material) -> pd.DataFrame:
    """The points of the figure, one row a finished run; loss recovered as a fraction, not clipped."""
    return drawn(source, ["loss_recovered"])


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    return against_l0.draw(points, looks, MEASURES)
