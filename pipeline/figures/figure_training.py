"""Training curves: L0, the loss and its pieces against the step, from each run's history.csv.

While the learning rate decays (train.lr_decay), which in the default sweep is the last fifth of training, the loss
falls and L0 rises.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from pipeline.analysis.frontier import as_floats
from pipeline.figures.inputs import FigureInputs, Looks
from pipeline.figures.panels import PAGE, arm_lines, finish, log_axis, wrapped
from pipeline.figures.sample import of_each, sample_heading, spread
from pipeline.figures.style import BAND, RC
from pipeline.records.finished import read_history
from pipeline.storage.layout import run_folder

CURVES = {
    "l0": "L0", "loss": "Loss", "reconstruction": "Reconstruction", "penalty": "Penalty", "auxiliary": "Auxiliary term",
}  # fmt: skip
"""The loss is the sum of the three after it; the penalty is lambda times the sum of activations."""
UNITS = {"l0": "features per token"}
LOSS_UNIT = "per token"
LOSSES = "losses: sums over d_in, of inputs scaled as train.input_scale says"
WIDTH, HEIGHT = PAGE / 5, 1.4
ROWS = 100
"""Of a history, at most."""
RISE = 0.02
"""Share of the loss from which on it counts as rising."""


def data(source: FigureInputs) -> pd.DataFrame:
    """Rows of history.csv, six digits of each number, of the runs that `sample` chooses."""
    return of_each(source, _history)


def _history(sweeps_dir: Path, run: pd.Series) -> pd.DataFrame | None:
    content = read_history(run_folder(sweeps_dir, run["run"]), run["evaluation.id"])
    if content is None:
        return None
    try:
        read = pd.read_csv(io.BytesIO(content))
        rows = read.assign(penalty=read["sparsity_coefficient"] * read["sparsity"])
        return rows[["step", *CURVES]].iloc[spread(len(rows), ROWS)].astype(float).map(lambda x: float(f"{x:.6g}"))
    except (ValueError, KeyError):  # a record of another's making, and a history without its columns
        return None


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    shown = {name: label for name, label in CURVES.items() if (as_floats(points[name]) > 0).any()}
    panels = list(points.groupby("panel", sort=False))
    with rc_context(RC):
        figure = Figure(figsize=(WIDTH * len(shown), HEIGHT * len(panels) + 0.45))
        for row, (title, rows) in enumerate(panels):
            for column, (name, label) in enumerate(shown.items()):
                axes = figure.add_subplot(len(panels), len(shown), row * len(shown) + column + 1)
                _panel(axes, rows, name, looks)
                if row == 0:
                    axes.set_title(f"{label}\n({UNITS.get(name, LOSS_UNIT)})")
                if column == 0:
                    axes.set_ylabel(wrapped(str(title), HEIGHT))
                if row == len(panels) - 1:
                    axes.set_xlabel("Step (updates)")
        handles: list[Line2D | Patch] = [*arm_lines(looks, [*points["arm"].unique()], marked=False)]
        handles.append(Patch(label="last fifth of training", **BAND))
        finish(figure, "\n".join([sample_heading(points), LOSSES, last_fifth(points)]), handles)
    return figure


def last_fifth(points: pd.DataFrame) -> str:
    """In words: how many runs' loss rises before the last fifth of training, and what that fifth changes."""
    found = np.array([_changes(run) for _, run in points.groupby("run", sort=False)]).reshape(-1, 3)
    found = found[np.isfinite(found).all(1)]
    if not len(found):
        return "too few steps to say when the loss falls"
    rising = int((found[:, 0] > RISE).sum())
    loss, l0 = np.median(found[:, 1:], axis=0)
    return (
        f"loss from the second to the fourth fifth of training: rises over {RISE:.0%} in {rising} of {len(found)} runs"
        f"\nin the last fifth: loss {loss:+.1%}, L0 {l0:+.1%} (medians over runs)"
    )


def _changes(run: pd.DataFrame) -> tuple[float, float, float]:
    """Relative changes: of the loss from the second fifth to the fourth; of loss and L0 from there to the end."""
    step, loss, l0 = as_floats(run["step"]) / float(run["step"].max()), as_floats(run["loss"]), as_floats(run["l0"])
    second, fourth, end = (step > 0.2) & (step <= 0.4), (step > 0.6) & (step <= 0.8), step > 0.96
    if not (second.any() and fourth.any() and end.any()) or min(*loss[second], *loss[fourth], *l0[fourth]) <= 0:
        return np.nan, np.nan, np.nan
    return (
        float(loss[fourth].mean() / loss[second].mean() - 1),
        float(loss[end].mean() / loss[fourth].mean() - 1),
        float(l0[end].mean() / l0[fourth].mean() - 1),
    )


def _panel(axes: Axes, rows: pd.DataFrame, name: str, looks: Looks) -> None:
    """Every run's curve, on a logarithmic axis; a piece that an arm's loss has not is not there."""
    values = as_floats(rows[name])
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = (positive.min() / 1.1, positive.max() * 1.1) if positive.size else (0.1, 1.0)
    for _, run in rows.groupby("run", sort=False):
        look = looks[run["arm"].iloc[0]].shaded(run["shade"].iloc[0])
        curve = np.where(as_floats(run[name]) > 0, as_floats(run[name]), np.nan)
        axes.plot(run["step"], curve, color=look.colour, linestyle=look.dashes, linewidth=0.9)
    axes.axvspan(0.8 * float(rows["step"].max()), float(rows["step"].max()), **BAND)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    log_axis(axes.yaxis, low, high, 5)
    axes.locator_params(axis="x", nbins=3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
