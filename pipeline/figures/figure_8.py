"""Variants of gated, as the paper's figure 8: loss recovered against L0, and each variant's difference to gated.

A variant is an architecture named gated_<what is different>; it is compared at gated's own width.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.analysis.curves import Floats, fronts, interpolate
from pipeline.analysis.frontier import PANEL, as_floats, group_ids, points
from pipeline.comparison.arms import BASELINE, GATED
from pipeline.figures import versus_l0
from pipeline.figures.inputs import FigureInputs, Looks, drawn
from pipeline.figures.measures import LOSS_RECOVERED

MEASURES = (
    LOSS_RECOVERED,
    versus_l0.Measure("above_gated", "Difference to gated at\nequal L0 (fraction)", 1.1, levels=(0.0,), reach=(0.0,)),
)


def data(source: FigureInputs) -> pd.DataFrame:
    """Gated, its variants and the baseline where a panel has both of the former.

    `above_gated` is a run's loss recovered less that of gated's front, of the same width, at the run's L0; it is NaN
    where that front has no value.
    """
    found = drawn(source, ["loss_recovered"]).assign(above_gated=np.nan)
    full, variant = found["architecture"] == GATED, found["architecture"].astype(str).str.startswith(f"{GATED}_")
    panel = pd.Series(group_ids(found, list(PANEL)), found.index)
    both = panel.isin({*panel[full]} & {*panel[variant]})
    kept = found[both & (full | variant | (found["architecture"] == BASELINE))].reset_index(drop=True)
    for _, rows in kept.groupby(group_ids(kept, [*PANEL, "d_sae"])):
        gated = source.runs[source.runs["run"].isin(rows.loc[rows["architecture"] == GATED, "run"])]
        kept.loc[rows.index, "above_gated"] = as_floats(rows["loss_recovered"]) - _front_at(gated, rows)
    return kept


def _front_at(gated: pd.DataFrame, rows: pd.DataFrame) -> Floats:
    """Loss recovered of gated's front at the rows' L0."""
    front = points(gated)
    front = front[front["l0"] > 0]
    x, y = fronts(np.log(as_floats(front["l0"]))[None], as_floats(front["loss_recovered"])[None])
    with np.errstate(divide="ignore"):
        values: Floats = interpolate(x, y, np.log(as_floats(rows["l0"])))[0]
    return values


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    return versus_l0.draw(points, looks, MEASURES)
