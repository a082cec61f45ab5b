"""Relative reconstruction bias gamma against L0, as the paper's figures 6 and 14, above the alive fraction.

Gamma of a dying dictionary drifts to 1 or above, so that neither can be read without the other.
"""

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.panels import Grid, arms, draw_arm, drawn, finish, finish_x, grid
from pipeline.figures.style import RC, REFERENCE

PANEL_INCHES = (3.4, 3.7)
HEIGHTS = (2.4, 1.0)
"""Of gamma's axes and of the alive fraction's below."""


def data(runs: pd.DataFrame) -> pd.DataFrame:
    """The points of the figure, one row a finished run; gamma is NaN where no feature fired at all."""
    return drawn(runs, "l0")


def draw(points: pd.DataFrame) -> Figure:
    layout = grid(points)
    width, height = PANEL_INCHES
    with rc_context(RC):
        size = (width * layout.columns + 0.3, height * layout.rows + 0.5)
        figure = Figure(figsize=size)
        cells = figure.add_gridspec(2 * layout.rows, layout.columns, height_ratios=HEIGHTS * layout.rows)
        for number, (title, rows) in enumerate(layout.panels):
            row, column = divmod(number, layout.columns)
            upper = figure.add_subplot(cells[2 * row, column])
            lower = figure.add_subplot(cells[2 * row + 1, column], sharex=upper)
            upper.set_title(title)
            _panel(upper, lower, points, rows)
            _labels(upper, lower, layout, number)
        finish(figure, points)
    return figure


def _panel(upper: Axes, lower: Axes, points: pd.DataFrame, rows: pd.DataFrame) -> None:
    for arm in arms(points, rows):
        draw_arm(upper, arm, "gamma")
        draw_arm(lower, arm, "alive_fraction")
    upper.axhline(1.0, zorder=1, **REFERENCE)
    lower.set_ylim(-0.06, 1.06)  # a fraction: the same axis in every panel
    lower.set_yticks([0, 0.5, 1])
    finish_x(upper, rows, label=False)
    upper.tick_params(labelbottom=False)


def _labels(upper: Axes, lower: Axes, layout: Grid, number: int) -> None:
    if number + layout.columns >= len(layout.panels):
        lower.set_xlabel("L0 (mean active features per token)")
    if number % layout.columns == 0:
        upper.set_ylabel("Relative reconstruction\nbias gamma")
        lower.set_ylabel("Alive\nfraction")
