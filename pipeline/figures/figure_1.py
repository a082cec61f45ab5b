"""Loss recovered against L0, one panel a site and layer, as the paper's figures 1, 5, 12 and 13."""

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.panels import arms, draw_arm, drawn, finish, finish_x, grid
from pipeline.figures.style import RC, REFERENCE

PANEL_INCHES = (3.4, 2.7)


def data(runs: pd.DataFrame) -> pd.DataFrame:
    """The points of the figure, one row a finished run; loss recovered as a fraction, not clipped."""
    return drawn(runs, "loss_recovered")


def draw(points: pd.DataFrame) -> Figure:
    layout = grid(points)
    width, height = PANEL_INCHES
    with rc_context(RC):
        size = (width * layout.columns + 0.3, height * layout.rows + 0.5)
        figure = Figure(figsize=size)
        for number, (title, rows) in enumerate(layout.panels):
            axes = figure.add_subplot(layout.rows, layout.columns, number + 1)
            _panel(axes, points, rows)
            axes.set_title(title)
            finish_x(axes, rows, label=number + layout.columns >= len(layout.panels))
            if number % layout.columns == 0:
                axes.set_ylabel("Loss recovered")
        finish(figure, points)
    return figure


def _panel(axes: Axes, points: pd.DataFrame, rows: pd.DataFrame) -> None:
    for arm in arms(points, rows):
        draw_arm(axes, arm, "loss_recovered")
    low, high = axes.get_ylim()
    for level in (0.0, 1.0):  # zero ablation, and splicing that costs nothing
        if low < level < high:
            axes.axhline(level, zorder=1, **REFERENCE)
