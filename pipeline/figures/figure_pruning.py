"""Loss recovered against L0 with small activations set to zero at inference: does an arm's front move?

A pruned arm has every run at each of its thresholds and as it is; its front is taken over all of these points.
"""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.analysis.table import PRUNE_BELOW
from pipeline.figures import versus_l0
from pipeline.figures.figure_1 import MEASURES
from pipeline.figures.inputs import FigureInputs, Looks, drawn, figure_inputs
from pipeline.figures.style import PRUNED

NO_BARS = "no error bars here: verdicts on pruned fronts are in summary.md"


def data(source: FigureInputs) -> pd.DataFrame:
    """One row per run as it is; of its pruned arm, one row per run and threshold (0: as it is)."""
    if source.pruned.empty:
        return source.pruned
    runs = source.runs[[name for name in source.runs if name in source.pruned]]
    as_they_are = runs[runs["run"].isin(source.pruned["run"])].assign(**{PRUNE_BELOW: 0.0})
    together = pd.concat([as_they_are, source.pruned[list(as_they_are)]], ignore_index=True)
    names = together["run"] + together[PRUNE_BELOW].map("@{:g}".format)
    of_pruned = together.assign(architecture=together["architecture"] + PRUNED, run=names)
    every = pd.concat([as_they_are, of_pruned], ignore_index=True).drop(columns="on_frontier", errors="ignore")
    points = drawn(figure_inputs(every), ["loss_recovered"])
    return points.assign(prune_below=points["run"].map(every.set_index("run")[PRUNE_BELOW]).astype(float))


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    pruned = {label: looks[label.replace(PRUNED, "")].pruned() for label in points["arm"].unique() if PRUNED in label}
    below = ", ".join(f"{value:g}" for value in sorted(points["prune_below"].unique()) if value > 0)
    thresholds = f"small dots: activations below {below} set to zero, for inputs with E||x||^2 = d_in"
    return versus_l0.draw(points, looks | pruned, MEASURES, [thresholds, NO_BARS])
