"""What the figures share: the layout and titles of panels, axes with plain numbers, the heading and the legend."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from pipeline.analysis.frontier import PANEL
from pipeline.figures.inputs import Looks
from pipeline.figures.labels import Label, place

PAGE = 7.0
"""Inches of a printed page's width, which three panels fill."""
PAGE_HEIGHT, LEAST = 9.2, 0.65
WIDTHS = {1: 3.5, 2: 3.2}
NARROWEST = 1.9
L0_LABEL = "L0 (active features per token)"
ORDER = ["model", "layer", "site", *PANEL[3:]]
"""Of panels: a row per layer where all layers have the same sites."""
CHARACTER = 0.062
"""Inches of a character in a heading, on average and a little more."""


@dataclass(frozen=True)
class Grid:
    """Panels row by row; a title and its rows each."""

    panels: list[tuple[str, pd.DataFrame]]
    columns: int

    @property
    def rows(self) -> int:
        return -(-len(self.panels) // self.columns)

    @property
    def panel_width(self) -> float:
        """Inches."""
        return panel_width(self.columns)

    def shrunk(self, inches: float) -> float:
        """By how much panels this high are to be lower so that a page holds them, within reason."""
        return min(max(PAGE_HEIGHT / (inches * self.rows), LEAST), 1.0)


STEPS = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Of a logarithmic axis' numbers within a decade, densest first."""
MODELS_NAMED = 3
FILLED = 0.35
"""Of a range that panels share, what each of them must fill."""
MOST_PIXELS = 30_000
"""Of a picture's height, where hundreds of panels would make it larger than can be drawn."""
TICK = 0.32
"""Inches that a number takes below an axis."""


def panel_width(columns: int) -> float:
    return WIDTHS.get(columns) or max(PAGE / columns, NARROWEST)


def grid(data: pd.DataFrame) -> Grid:
    """One panel per site and layer; also one per model, data set or evaluation where a sweep has several."""
    order = data.sort_values(ORDER, kind="stable")
    groups = list(order.groupby(list(PANEL), sort=False, dropna=False))
    sites = data["site"].nunique()
    columns = min(len(groups), sites if 1 < sites <= 4 else 3)
    names = titles([dict(zip(PANEL, key, strict=True)) for key, _ in groups], panel_width(columns))
    return Grid([(title, rows) for title, (_, rows) in zip(names, groups, strict=True)], columns)


def titles(keys: Sequence[dict[str, object]], inches: float) -> list[str]:
    """Site, layer and model, and then what it takes to tell the panels apart; lines no wider than a panel."""
    bare = [str(key["model"]).partition("@")[0] for key in keys]
    revisions = {(name, key["model"]) for name, key in zip(bare, keys, strict=True)}
    whole = len(revisions) > len(set(bare))  # two revisions of one model
    models = [str(key["model"]) if whole else name for name, key in zip(bare, keys, strict=True)]
    found = [f"{key['site']}, layer {key['layer']}\n{model}" for key, model in zip(keys, models, strict=True)]
    for part in ("data.name", "evaluation.id"):
        if len(set(found)) < len(found) and len({key[part] for key in keys}) > 1:
            found = [f"{title}\n{key[part]}" for title, key in zip(found, keys, strict=True)]
    return [wrapped(title, inches) for title in found]


def wrapped(text: str, inches: float) -> str:
    """Lines broken so that a heading of this width holds them."""
    return "\n".join(textwrap.fill(line, max(int(min(inches, 100) / CHARACTER), 10)) for line in text.split("\n"))


def log_axis(axis: Axis, low: float, high: float, room: int) -> None:
    """A logarithmic axis with plain numbers: as many between its ends as there is room for."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.floor(np.log10(high)) + 1)
    ticks = [[float(at) for at in np.outer(decades, steps).ravel() if low <= at <= high] for steps in STEPS]
    ticks.append(ticks[-1][:: max(-(-len(ticks[-1]) // room), 1)])  # every second decade, or third
    fitting = next((places for places in ticks if 2 <= len(places) <= room), None)
    axis.set_major_locator(FixedLocator(fitting) if fitting else MaxNLocator(min(room, 4)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def arm_lines(looks: Looks, labels: Sequence[str], marked: bool = True) -> list[Line2D]:
    """For the legend: a line for each of the arms that a figure shows."""
    return [
        Line2D(
            [], [], color=look.colour, marker=look.marker if marked else "", linestyle=look.dashes, label=shown(label)
        )
        for label, look in looks.items()
        if label in labels
    ]


def shown(label: str) -> str:
    """A label as a legend takes it, which leaves out those that begin with an underscore."""
    return f" {label}" if label.startswith("_") else label


def common_range(ranges: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """One range for the same axis of all panels; None where some panel would fill too little of it."""
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    fits = all(own[1] - own[0] >= FILLED * (high - low) for own in ranges)
    return (low, high) if fits else None


def heading(data: pd.DataFrame) -> str:
    """Whose runs these are: the sweep, and its models where they are few."""
    models = [str(name) for name in data["model"].unique()]
    named = ", ".join(models) if len(models) <= MODELS_NAMED else f"{len(models)} models"
    return f"{', '.join(map(str, data['sweep'].unique()))}: {named}"


def finish(figure: Figure, title: str, handles: Sequence[Line2D | Patch], points: Sequence[Label] = ()) -> None:
    """A heading, and one legend for all panels, below them; then the layout is computed, once, and points labelled."""
    FigureCanvasAgg(figure)  # it keeps its renderer; without it, each panel that is measured creates one
    width = figure.get_figwidth()
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(int(width / (0.055 * longest + 0.6)), 1)  # inches that an entry takes
    lines = -(-len(handles) // columns) if handles else 0
    title = wrapped(title, width)
    figure.suptitle(title, fontsize=8.0, color="#333333")
    figure.set_figheight(figure.get_figheight() + 0.16 * (lines + title.count("\n")))
    figure.set_dpi(min(figure.dpi, MOST_PIXELS / figure.get_figheight()))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3.0)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0, 0)  # else the place of nothing is computed at every drawing
    _lay_out(figure)
    place(figure, points)


def _lay_out(figure: Figure) -> None:
    """Compute the layout; again with a margin where labels, once aligned, would leave the page."""
    beyond = _fit(figure, 0.0)
    if beyond > 0:
        _fit(figure, beyond / figure.bbox.width)


def _fit(figure: Figure, margin: float) -> float:
    """Compute the layout with a margin on the left, as a share of the page; how far labels then leave it, in pixels."""
    rectangle = (margin, 0.0, 1 - margin, 1.0)
    ConstrainedLayoutEngine(h_pad=0.05, w_pad=0.04, rect=rectangle).execute(figure)  # inches around each panel
    return -_align_y_labels(figure)


def _align_y_labels(figure: Figure) -> float:
    """One below the other, and where the leftmost then begins, in pixels.

    Figure.align_ylabels takes time with the square of the number of panels.
    """
    labelled = [axes for axes in figure.axes if axes.get_ylabel()]
    for axes in labelled:
        axes.yaxis.get_tightbbox()  # places the label where it belongs now that its axes have moved
    leftmost = min((axes.yaxis.label.get_window_extent().x1 for axes in labelled), default=0.0)
    for axes in labelled:
        axes.yaxis.set_label_coords((leftmost - axes.bbox.x0) / axes.bbox.width, 0.5)
    return min((axes.yaxis.label.get_window_extent().x0 for axes in labelled), default=0.0)
