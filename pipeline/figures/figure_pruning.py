"""Loss recovered against L0 with tiny activations set to zero at inference: does an arm's front move?

A thin line leads from each run as it is through its thresholds; a pruned arm's front is taken over all of these points.
"""

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.aggregate import PRUNE_BELOW
from pipeline.figures.panels import Arm, arms, draw_arm, drawn, finish, finish_x, grid
from pipeline.figures.style import PRUNED, RC

PANEL_INCHES = (3.4, 2.7)


def data(runs: pd.DataFrame, pruned: pd.DataFrame) -> pd.DataFrame:
    """One row a run as it is, and for its arm when pruned one row a run and threshold (0: as it is)."""
    as_they_are = runs[runs["run"].isin(pruned["run"])].assign(**{PRUNE_BELOW: 0.0})
    together = pd.concat([as_they_are, pruned[list(runs)]], ignore_index=True)
    names = together["run"] + together[PRUNE_BELOW].map("@{:g}".format)
    of_pruned = together.assign(architecture=together["architecture"] + PRUNED, run=names)
    every = pd.concat([as_they_are, of_pruned], ignore_index=True)
    points = drawn(every, "loss_recovered")
    return points.assign(prune_below=points["run"].map(every.set_index("run")[PRUNE_BELOW]).astype(float))


def draw(points: pd.DataFrame) -> Figure:
    layout = grid(points)
    width, height = PANEL_INCHES
    with rc_context(RC):
        figure = Figure(figsize=(width * layout.columns + 0.3, height * layout.rows + 0.5))
        for number, (title, rows) in enumerate(layout.panels):
            axes = figure.add_subplot(layout.rows, layout.columns, number + 1)
            for arm in arms(points, rows):
                if arm.rows["architecture"].iloc[0].endswith(PRUNED):
                    _draw_paths(axes, arm)
                else:
                    draw_arm(axes, arm, "loss_recovered")
            axes.set_title(title)
            finish_x(axes, rows, label=number + layout.columns >= len(layout.panels))
            if number % layout.columns == 0:
                axes.set_ylabel("Loss recovered")
        finish(figure, points[points["on_frontier"] | ~points["architecture"].str.endswith(PRUNED)])
    return figure


def _draw_paths(axes: Axes, arm: Arm) -> None:
    """Each run from threshold to threshold, and the front of all of them."""
    rows = arm.rows[arm.rows["l0"] > 0]
    for _, path in rows.groupby(rows["run"].str.rpartition("@")[0]):
        along = path.sort_values("prune_below")
        axes.plot(along["l0"], along["loss_recovered"], color=arm.look.colour, linewidth=0.7, marker=".", markersize=3)
    front = rows[rows["on_frontier"]].sort_values("l0")
    axes.plot(front["l0"], front["loss_recovered"], color=arm.look.colour, linestyle=arm.look.dashes, zorder=2.8)
