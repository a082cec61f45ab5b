"""Training curves: L0, the loss and its pieces against the step, from each run's history.csv."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pipeline.figures.material import Looks, Material
from pipeline.figures.panels import PAGE, arm_lines, finish, log_axis, wrapped
from pipeline.figures.sample import of_each, sample_heading, spread
from pipeline.figures.style import RC
from pipeline.frontier import as_floats

CURVES = {
    "l0": "L0", "loss": "Loss", "reconstruction": "Reconstruction", "penalty": "Penalty", "auxiliary": "Auxiliary term",
}  # fmt: skip
"""The loss is the sum of the three after it; the penalty is lambda times the sum of activations."""
WIDTH, HEIGHT = PAGE / 5, 1.4
ROWS = 100
"""Of a history, at most."""


def data(source: Material) -> pd.DataFrame:
    """Rows of history.csv, six digits of each number, of the runs that `sample` chooses."""
    return of_each(source, _history)


def _history(sweeps_dir: Path, run: pd.Series) -> pd.DataFrame | None:
    try:
        read = pd.read_csv(sweeps_dir / "runs" / run["run"] / "history.csv")
        rows = read.assign(penalty=read["sparsity_coefficient"] * read["sparsity"])
        return rows[["step", *CURVES]].iloc[spread(len(rows), ROWS)].astype(float).map(lambda x: float(f"{x:.6g}"))
    except (OSError, ValueError, KeyError):  # absent, empty or damaged: the figure does without
        return None


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    shown = {name: label for name, label in CURVES.items() if (as_floats(points[name]) > 0).any()}
    panels = list(points.groupby("panel", sort=False))
    with rc_context(RC):
        figure = Figure(figsize=(WIDTH * len(shown), HEIGHT * len(panels) + 0.3))
        for row, (title, rows) in enumerate(panels):
            for column, (name, label) in enumerate(shown.items()):
                axes = figure.add_subplot(len(panels), len(shown), row * len(shown) + column + 1)
                _panel(axes, rows, name, looks)
                if row == 0:
                    axes.set_title(label)
                if column == 0:
                    axes.set_ylabel(wrapped(str(title), HEIGHT))
                if row == len(panels) - 1:
                    axes.set_xlabel("Step")
        finish(figure, sample_heading(points), arm_lines(looks, [*points["arm"].unique()], marked=False))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, name: str, looks: Looks) -> None:
    """Every run's curve, on a logarithmic axis; a piece that an arm's loss has not is not there."""
    values = as_floats(rows[name])
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = (positive.min() / 1.1, positive.max() * 1.1) if positive.size else (0.1, 1.0)
    for _, run in rows.groupby("run", sort=False):
        look = looks[run["arm"].iloc[0]].shaded(run["shade"].iloc[0])
        curve = np.where(as_floats(run[name]) > 0, as_floats(run[name]), np.nan)
        axes.plot(run["step"], curve, color=look.colour, linestyle=look.dashes, linewidth=0.9)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    log_axis(axes.yaxis, low, high, 5)
    axes.locator_params(axis="x", nbins=3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
