"""Panels of anything against L0: the arms' frontiers as lines, runs that are dominated hollow, intervals as bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.figures.material import Looks
from pipeline.figures.panels import L0_LABEL, TICK, arm_lines, finish, grid, heading, log_axis, wrapped
from pipeline.figures.style import RC, REFERENCE, Look
from pipeline.frontier import as_floats

MARGIN = 0.06
"""Of an axis' range, on either side."""


@dataclass(frozen=True)
class Measure:
    """One axis of a panel: a column of the points against L0."""

    column: str
    label: str
    inches: float
    levels: tuple[float, ...] = ()  # lines to compare with, where the axis reaches them
    reach: tuple[float, ...] = ()  # values that the axis reaches whatever the points are
    limits: tuple[float, float] | None = None  # the same in every panel
    log: bool = False  # where all values are above 0


def draw(points: pd.DataFrame, looks: Looks, measures: Sequence[Measure]) -> Figure:
    """One panel a site and layer, in it one axis a measure, above each other; a measure that no run has is left out."""
    shown = [measure for measure in measures if np.isfinite(as_floats(points[measure.column])).any()]
    layout = grid(points)
    with rc_context(RC):
        height = sum(measure.inches for measure in shown) + 0.25
        shrunk = layout.shrunk(height)
        figure = Figure(figsize=(layout.panel_width * layout.columns, height * shrunk * layout.rows + 0.3))
        ratios = [measure.inches for measure in shown] * layout.rows
        cells = figure.add_gridspec(len(ratios), layout.columns, height_ratios=ratios)
        for number, (title, rows) in enumerate(layout.panels):
            row, column = divmod(number, layout.columns)
            stack: list[Axes] = []
            for place, measure in enumerate(shown):
                cell = cells[len(shown) * row + place, column]
                stack.append(figure.add_subplot(cell, sharex=stack[0] if stack else None))
                _fill(stack[-1], rows, looks, measure)
                if column == 0:
                    stack[-1].set_ylabel(wrapped(measure.label, measure.inches * shrunk))
            stack[0].set_title(title + _hidden(rows))
            _finish_x(stack, rows, layout.panel_width, number + layout.columns >= len(layout.panels))
        finish(figure, heading(points), _handles(points, looks, shown))
    return figure


def _fill(axes: Axes, rows: pd.DataFrame, looks: Looks, measure: Measure) -> None:
    for label, here in rows[rows["l0"] > 0].groupby("arm", sort=False):
        _draw_arm(axes, here, looks[str(label)], measure.column)
    low, high = _set_y(axes, rows[rows["l0"] > 0], measure)
    for level in measure.levels:
        if low < level < high:
            axes.axhline(level, **REFERENCE)


def _draw_arm(axes: Axes, rows: pd.DataFrame, look: Look, y: str) -> None:
    """The frontier's runs filled, a line through their means over seeds, dominated runs hollow; bars for intervals."""
    style: dict[str, Any] = {"marker": look.marker, "markeredgecolor": look.colour, "markeredgewidth": 0.9}
    style |= {"linestyle": "none", "color": look.colour}
    front, dominated = rows[rows["on_frontier"]], rows[~rows["on_frontier"]]
    means = front.assign(log_l0=np.log(as_floats(front["l0"]))).groupby("point")[["log_l0", y]].mean()
    means = means.sort_values(["log_l0", y])
    if has_interval(rows, y):
        axes.vlines(rows["l0"], rows[f"{y}_low"], rows[f"{y}_high"], color=look.colour, linewidth=0.9, zorder=2)
    axes.plot(dominated["l0"], dominated[y], markerfacecolor="white", zorder=2.5, **style)
    axes.plot(front["l0"], front[y], zorder=3, **style)
    axes.plot(np.exp(means["log_l0"]), means[y], color=look.colour, linestyle=look.dashes, zorder=3)


def has_interval(rows: pd.DataFrame, y: str) -> bool:
    return f"{y}_low" in rows and bool(np.isfinite(as_floats(rows[f"{y}_low"])).any())


def _set_y(axes: Axes, rows: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """Limits that hold every point, and intervals as far as the points' own range beyond them."""
    if measure.limits is not None:
        low, high = measure.limits
        axes.set_ylim(low - MARGIN * (high - low), high + MARGIN * (high - low))
        axes.set_yticks([low, (low + high) / 2, high])
        return low, high
    values = as_floats(rows[measure.column])
    values = np.append(values[np.isfinite(values)], measure.reach)
    log = measure.log and len(values) > 0 and bool((values > 0).all())
    scaled = np.log10(values) if log else values
    low, high = (float(scaled.min()), float(scaled.max())) if len(scaled) else (0.0, 1.0)
    span = high - low or max(abs(high) * 0.1, 0.1)
    if has_interval(rows, measure.column):
        ends = np.concatenate([as_floats(rows[f"{measure.column}_{end}"]) for end in ("low", "high")])
        ends = ends[np.isfinite(ends) & ((ends > 0) | (not log))]
        ends = np.clip(np.log10(ends) if log else ends, low - span, high + span)
        low, high = min(low, *ends), max(high, *ends)
    low, high = low - MARGIN * span, high + MARGIN * span
    if log:
        low, high = 10**low, 10**high
        axes.set_yscale("log")
        log_axis(axes.yaxis, low, high, int(4 * measure.inches))
    axes.set_ylim(low, high)
    return low, high


def _finish_x(stack: Sequence[Axes], rows: pd.DataFrame, inches: float, label: bool) -> None:
    """A logarithmic L0 axis below the lowest of a panel's axes."""
    positive = rows.loc[rows["l0"] > 0, "l0"]
    low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 100.0)
    margin = max((high / low) ** MARGIN, 1.15)
    stack[0].set_xscale("log")
    stack[0].set_xlim(low / margin, high * margin)
    log_axis(stack[0].xaxis, low / margin, high * margin, int((inches - 0.5) / TICK))
    for axes in stack[:-1]:
        axes.tick_params(labelbottom=False)
    if label:
        stack[-1].set_xlabel(wrapped(L0_LABEL, inches - 0.4))


def _hidden(rows: pd.DataFrame) -> str:
    """A line on the runs that a logarithmic axis cannot show."""
    hidden = int((rows["l0"] <= 0).sum())
    return f"\n{hidden} run{'s' if hidden > 1 else ''} with L0 = 0 not shown" if hidden else ""


def _handles(points: pd.DataFrame, looks: Looks, shown: Sequence[Measure]) -> list[Line2D]:
    handles = arm_lines(looks, [*points["arm"].unique()])
    if not points["on_frontier"].all():
        hollow = Line2D([], [], marker="o", linestyle="none", label="hollow: dominated", color="#555555")
        hollow.set_markerfacecolor("white")
        handles.append(hollow)
    if any(has_interval(points, measure.column) for measure in shown):
        handles.append(
            Line2D([], [], marker="|", markersize=8, linestyle="none", label="95 % interval", color="#555555")
        )
    return handles
