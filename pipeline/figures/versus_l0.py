"""Panels of a measure against L0: frontiers of the arms as lines, dominated runs hollow, intervals as bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from pipeline.analysis.frontier import as_floats, axes_of
from pipeline.figures.inputs import Looks
from pipeline.figures.labels import Label
from pipeline.figures.marker_ids import rows_gid
from pipeline.figures.panels import L0_LABEL, TICK, arm_lines, common_range, finish, grid, heading, log_axis, wrapped
from pipeline.figures.sample import spread
from pipeline.figures.style import BAND, PAPER, PRUNED, RC, REFERENCE, Look
from pipeline.records import columns

MARGIN = 0.06
"""Of an axis' range, on either side."""
TICKS_PER_INCH = 2.7
MOST_LABELLED = 200
"""Points of an arm for which a label is tried: a panel has room for no more."""


@dataclass(frozen=True)
class Measure:
    """One axis of a panel: a column of the points against L0."""

    column: str
    label: str
    inches: float
    levels: tuple[float, ...] = ()  # lines to compare with, where the axis reaches them
    band: tuple[float, float] | None = None  # a range to compare with
    reach: tuple[float, ...] = ()  # values that the axis reaches whatever the points are
    meaning: str = ""  # of the levels and the band, for the legend
    by: str = ""  # how it is measured, for the heading
    log: bool = False  # where all values are above 0


@dataclass(frozen=True)
class Scale:
    """The y axis of one measure: a range for every panel, by its title, and whether they are one range."""

    log: bool
    ranges: dict[str, tuple[float, float]]
    common: bool


def draw(points: pd.DataFrame, looks: Looks, measures: Sequence[Measure], said: Sequence[str] = ()) -> Figure:
    """One panel per site and layer, in it one axis per measure, above each other; without measures that no run has.

    Args:
        points: numbered as the rows of the figure's CSV: the SVG's points are named by that.
        said: further lines of the heading.
    """
    shown = [measure for measure in measures if np.isfinite(as_floats(points[measure.column])).any()]
    layout = grid(points)
    scales = {measure.column: _scale(layout.panels, measure) for measure in shown}
    labels: list[Label] = []
    with rc_context(RC):
        height = sum(measure.inches for measure in shown) + 0.4
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
                _fill(stack[-1], rows, looks, measure, scales[measure.column], title)
                if column == 0:
                    stack[-1].set_ylabel(wrapped(measure.label, measure.inches * shrunk))
            stack[0].set_title(title + _hidden(rows))
            _finish_x(stack, rows, layout.panel_width, number + layout.columns >= len(layout.panels))
            labels += _axis_values(stack[0], rows, looks, shown[0].column)
        differing = [" ".join(m.label.partition("(")[0].split()).lower() for m in shown if not scales[m.column].common]
        lines = [heading(points), basis(points, shown), *said]
        lines += [f"the y range differs between panels: {', '.join(differing)}"] if differing else []
        finish(figure, "\n".join(filter(None, lines)), _handles(points, looks, shown, bool(labels)), labels)
    return figure


def basis(points: pd.DataFrame, shown: Sequence[Measure]) -> str:
    """How the points were measured: ablation, seeds, held-out tokens, and what the bars are; as far as it is known."""
    ours = points[~points["architecture"].astype(str).str.endswith(PAPER) & (points["l0"] > 0)]
    parts = [measure.by for measure in shown if measure.by]
    seeds = _counted(ours.groupby("point")["seed"].nunique(), "seed")
    parts += seeds if seeds in ([], ["1 seed"]) else [f"{seeds[0]} (a marker each, lines join their means)"]
    parts += _counted(ours["evaluation_tokens"], "held-out token")
    if any(has_interval(ours, measure.column) for measure in shown):
        parts.append("bars: 95 % over held-out documents, not over seeds")
    return ", ".join(parts)


def _counted(counts: "pd.Series[Any]", what: str) -> list[str]:
    known = as_floats(counts)
    known = known[known > 0]
    if not known.size:
        return []
    low, high = int(known.min()), int(known.max())
    return [f"{low:,} {what}{'s' if low > 1 else ''}" if low == high else f"{low:,} to {high:,} {what}s"]


def _fill(axes: Axes, rows: pd.DataFrame, looks: Looks, measure: Measure, scale: Scale, title: str) -> None:
    for label, here in rows[rows["l0"] > 0].groupby("arm", sort=False):
        _draw_arm(axes, here, looks[str(label)], measure.column)
    low, high = scale.ranges[title]
    if scale.log:
        axes.set_yscale("log")
        log_axis(axes.yaxis, low, high, int(4 * measure.inches))
    else:  # not by the length of the axis, which the layout changes
        axes.yaxis.set_major_locator(MaxNLocator(int(TICKS_PER_INCH * measure.inches), steps=[1, 2, 5, 10]))
    axes.set_ylim(low, high)
    for level in measure.levels:
        if low < level < high:
            axes.axhline(level, **REFERENCE)
    if measure.band is not None:
        axes.axhspan(*measure.band, **BAND)


def _axis_values(axes: Axes, rows: pd.DataFrame, looks: Looks, column: str) -> list[Label]:
    """Labels for the points of the fronts: lambda, or what the sweep varies instead. Ends of a front come first."""
    found, usual = [], axes_of(rows)[0]
    for label, here in rows[rows["on_frontier"] & (rows["l0"] > 0) & rows[column].notna()].groupby("arm", sort=False):
        axis = axes_of(here)[0]
        if str(label).split(" (")[0].endswith((PAPER, PRUNED)) or here[axis].isna().all():
            continue
        points = here.groupby("point").agg({"l0": _geometric_mean, column: "mean", axis: "first"}).sort_values("l0")
        first, *others = spread(len(points), MOST_LABELLED)
        order = [first, *others[-1:], *others[:-1]]
        for x, y, value in points.iloc[order].itertuples(index=False):
            if pd.notna(value):
                words = f"{float(value):g}" if axis == usual else f"{columns.heading(axis)} {float(value):g}"
                found.append(Label(axes, x, y, words, looks[str(label)].shaded(0.9).colour))
    return found


def _geometric_mean(values: "pd.Series[Any]") -> float:
    return float(np.exp(np.log(as_floats(values)).mean()))


def _draw_arm(axes: Axes, rows: pd.DataFrame, look: Look, y: str) -> None:
    """The frontier's runs filled, a line through their means over seeds, dominated runs hollow; bars for intervals."""
    style: dict[str, Any] = {"marker": look.marker, "markeredgecolor": look.colour, "markeredgewidth": 0.9}
    style |= {"linestyle": "none", "color": look.colour}
    front, dominated = rows[rows["on_frontier"]], rows[~rows["on_frontier"]]
    means = front.assign(log_l0=np.log(as_floats(front["l0"]))).groupby("point")[["log_l0", y]].mean()
    means = means.sort_values(["log_l0", y])
    if has_interval(rows, y):
        _draw_bars(axes, rows, y, look.colour)
    axes.plot(dominated["l0"], dominated[y], gid=_gid(dominated, y), markerfacecolor="white", zorder=2.5, **style)
    axes.plot(front["l0"], front[y], gid=_gid(front, y), zorder=3, **style)
    axes.plot(np.exp(means["log_l0"]), means[y], color=look.colour, linestyle=look.dashes, zorder=3)


def _gid(rows: pd.DataFrame, y: str) -> str | None:
    return rows_gid(y, rows.index[np.isfinite(as_floats(rows[y]))].tolist())


def _draw_bars(axes: Axes, rows: pd.DataFrame, y: str, colour: str) -> None:
    """All bars as one path: as many paths, thousands of bars take as long to write as their points."""
    x, low, high = (as_floats(rows[name]) for name in ("l0", f"{y}_low", f"{y}_high"))
    ends = np.stack([x, low, x, high], axis=1)
    ends = ends[np.isfinite(ends).all(1)].reshape(-1, 2)
    bars = Path(ends, np.resize([Path.MOVETO, Path.LINETO], len(ends)))
    collection = PathCollection([bars], facecolors="none", edgecolors=colour, linewidths=0.9, zorder=2)
    axes.add_collection(collection, autolim=False)


def has_interval(rows: pd.DataFrame, y: str) -> bool:
    return f"{y}_low" in rows and bool(np.isfinite(as_floats(rows[f"{y}_low"])).any())


def _scale(panels: Sequence[tuple[str, pd.DataFrame]], measure: Measure) -> Scale:
    """One range for all panels where each fills enough of it, otherwise one per panel."""
    values = np.concatenate([as_floats(rows.loc[rows["l0"] > 0, measure.column]) for _, rows in panels])
    values = values[np.isfinite(values)]
    log = measure.log and len(values) > 0 and bool((values > 0).all())
    ranges = [_range(rows[rows["l0"] > 0], measure, log) for _, rows in panels]
    common = common_range(ranges)
    ends = [common or own for own in ranges]
    scaled = [(10**low, 10**high) if log else (low, high) for low, high in ends]
    return Scale(log, dict(zip([title for title, _ in panels], scaled, strict=True)), common is not None)


def _range(rows: pd.DataFrame, measure: Measure, log: bool) -> tuple[float, float]:
    """Limits, or their log10. All points lie within them; intervals may be cut one range beyond the points."""
    values = as_floats(rows[measure.column])
    values = np.append(values[np.isfinite(values)], measure.reach)
    scaled = np.log10(values) if log else values
    low, high = (float(scaled.min()), float(scaled.max())) if len(scaled) else (0.0, 1.0)
    span = high - low or max(abs(high) * 0.1, 0.1)
    if has_interval(rows, measure.column):
        ends = np.concatenate([as_floats(rows[f"{measure.column}_{end}"]) for end in ("low", "high")])
        ends = ends[np.isfinite(ends) & ((ends > 0) | (not log))]
        ends = np.clip(np.log10(ends) if log else ends, low - span, high + span)
        low, high = min(low, *ends), max(high, *ends)
    return low - MARGIN * span, high + MARGIN * span


def _finish_x(stack: Sequence[Axes], rows: pd.DataFrame, inches: float, label: bool) -> None:
    """A logarithmic L0 axis below the lowest of a panel's axes."""
    positive = rows.loc[rows["l0"] > 0, "l0"]
    low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 100.0)
    margin = max((high / low) ** MARGIN, 1.15)
    stack[0].set_xlim(low / margin, high * margin)
    stack[0].set_xscale("log")  # once limits are set: one point gives none
    log_axis(stack[0].xaxis, low / margin, high * margin, int((inches - 0.5) / TICK))
    for axes in stack[:-1]:
        axes.tick_params(labelbottom=False)
    if label:
        stack[-1].set_xlabel(wrapped(L0_LABEL, inches - 0.4))


def _hidden(rows: pd.DataFrame) -> str:
    """A line on the runs that a logarithmic axis cannot show."""
    hidden = int((rows["l0"] <= 0).sum())
    return f"\n{hidden} run{'s' if hidden > 1 else ''} with L0 = 0 not shown" if hidden else ""


def _handles(points: pd.DataFrame, looks: Looks, shown: Sequence[Measure], labelled: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [*arm_lines(looks, [*points["arm"].unique()])]
    if not points.loc[points["l0"] > 0, "on_frontier"].all():
        hollow = Line2D([], [], marker="o", linestyle="none", label="hollow: dominated", color="#555555")
        hollow.set_markerfacecolor("white")
        handles.append(hollow)
    if any(has_interval(points, measure.column) for measure in shown):
        handles.append(
            Line2D(
                [],
                [],
                marker="|",
                markersize=8,
                linestyle="none",
                label="95 % interval over documents",
                color="#555555",
            )
        )
    if labelled:
        words = f"numbers at points, where there is room: {columns.heading(axes_of(points)[0])}"
        handles.append(Line2D([], [], linestyle="none", label=words))
    for measure in shown:
        if measure.meaning:
            line = {name: REFERENCE[name] for name in ("color", "linewidth", "linestyle")}
            handles.append(Line2D([], [], label=measure.meaning, **line))
    return handles
