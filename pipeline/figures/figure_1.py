"""Loss recovered against L0, one panel per site and layer, as the paper's figures 1, 5, 12 and 13."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.analysis.frontier import PANEL, as_floats, group_ids
from pipeline.figures import versus_l0
from pipeline.figures.inputs import FigureInputs, Looks, drawn
from pipeline.figures.measures import LOSS_RECOVERED

MEASURES = (LOSS_RECOVERED,)


def data(source: FigureInputs) -> pd.DataFrame:
    """The points of the figure, one row per finished run; loss recovered as a fraction, not clipped.

    Panels where it is refused have blanks and are not drawn; the table has their cross-entropies.
    """
    found = drawn(source, ["loss_recovered", "delta_ce"])
    return found if np.isfinite(as_floats(found["loss_recovered"])).any() else found.iloc[:0]


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    known = pd.Series(np.isfinite(as_floats(points["loss_recovered"])), points.index)
    shown = known.groupby(group_ids(points, list(PANEL))).transform("any")
    return versus_l0.draw(points[shown], looks, MEASURES, refused(points[~shown]))


def refused(points: pd.DataFrame) -> list[str]:
    """A line on the panels that are not drawn, and what stands instead."""
    if points.empty:
        return []
    several = points["model"].nunique() > 1
    places = [f"{site}, layer {layer}" + (f", {model}" if several else "")
              for model, site, layer in points[["model", "site", "layer"]].drop_duplicates().to_numpy()]  # fmt: skip
    return [f"loss recovered refused, because ablating the site costs almost nothing: {'; '.join(places)} "
            "(cross-entropies: figure_diagnostics)"]  # fmt: skip
