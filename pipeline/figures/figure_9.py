"""Does undoing shrinkage explain the gain? Both arms and variants of the baseline, as the paper's figure 9.

A variant is an architecture named baseline_<what is different>: the paper's learns to rescale and shift the activations
of a finished baseline as wide as gated. Its gamma is then 1. What still separates the fronts has another cause.
"""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.analysis.frontier import PANEL, group_ids
from pipeline.comparison.arms import BASELINE, GATED
from pipeline.figures import versus_l0
from pipeline.figures.inputs import FigureInputs, Looks, drawn
from pipeline.figures.measures import GAMMA, LOSS_RECOVERED

MEASURES = (LOSS_RECOVERED, GAMMA)


def data(source: FigureInputs) -> pd.DataFrame:
    """Both arms and the baseline's variants, in the panels that have a variant."""
    found = drawn(source, ["loss_recovered", "gamma"])
    variant = found["architecture"].astype(str).str.startswith(f"{BASELINE}_")
    panel = pd.Series(group_ids(found, list(PANEL)), found.index)
    chosen = panel.isin({*panel[variant]}) & (variant | found["architecture"].isin([GATED, BASELINE]))
    return found[chosen].reset_index(drop=True)


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    return versus_l0.draw(points, looks, MEASURES)
