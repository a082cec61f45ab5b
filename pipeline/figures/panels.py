"""What the figures share: how panels are laid out and named, axes with plain numbers, the heading and the legend."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from pipeline.figures.material import Looks
from pipeline.frontier import PANEL

PAGE = 7.0
"""Inches of a printed page's width, which three panels fill."""
WIDTHS = {1: 3.5, 2: 3.2}
NARROWEST = 1.9
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


def panel_width(columns: int) -> float:
    return WIDTHS.get(columns, max(PAGE / columns, NARROWEST))


def grid(data: pd.DataFrame) -> Grid:
    """One panel a site and layer; also one a model, data set or evaluation where a sweep has several."""
    order = data.sort_values(["layer", "site", *PANEL], kind="stable")
    groups = list(order.groupby(list(PANEL), sort=False, dropna=False))
    sites = data["site"].nunique()
    columns = min(len(groups), sites if 1 < sites <= 4 else 3)
    names = titles([dict(zip(PANEL, key, strict=True)) for key, _ in groups], panel_width(columns))
    return Grid([(title, rows) for title, (_, rows) in zip(names, groups, strict=True)], columns)


def titles(keys: Sequence[dict[str, object]], inches: float) -> list[str]:
    """Site and layer, and then what it takes to tell the panels apart; lines no wider than a panel."""
    found = [f"{key['site']}, layer {key['layer']}" for key in keys]
    for part in ("model", "data.name", "evaluation.id"):
        if len(set(found)) < len(found) and len({key[part] for key in keys}) > 1:
            found = [f"{title}\n{key[part]}" for title, key in zip(found, keys, strict=True)]
    return [wrapped(title, inches) for title in found]


def wrapped(text: str, inches: float) -> str:
    """Lines broken so that a heading of this width holds them."""
    return "\n".join(textwrap.fill(line, max(int(inches / CHARACTER), 10)) for line in text.split("\n"))


def log_axis(axis: Axis, low: float, high: float, inches: float) -> None:
    """A logarithmic axis with plain numbers, as many as there is room for."""
    decades = np.log10(high / low)
    room = inches / 0.3
    steps = (1, 2, 5) if 3 * decades <= room else (1,)
    few = MaxNLocator(min(4, max(int(room), 2)))
    axis.set_major_locator(LogLocator(subs=steps, numticks=max(int(room), 2)) if decades > 0.6 else few)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def note(axes: Axes, text: str, x: float = 0.98, y: float = 0.03) -> None:
    """A small remark in a corner of a panel: the lower right one by default."""
    align = {"ha": "right" if x > 0.5 else "left", "va": "top" if y > 0.5 else "bottom"}
    written = axes.text(x, y, text, transform=axes.transAxes, fontsize=6.5, color="#555555", **align)
    written.set_bbox({"color": "white", "pad": 1})


def arm_lines(looks: Looks, labels: Sequence[str], marked: bool = True) -> list[Line2D]:
    """For the legend: a line for each of the arms that a figure shows."""
    return [
        Line2D([], [], color=look.colour, marker=look.marker if marked else "", linestyle=look.dashes, label=label)
        for label, look in looks.items()
        if label in labels
    ]


def heading(data: pd.DataFrame) -> str:
    """Whose runs these are: the sweep, and the model where there is one only."""
    names = [str(name) for name in data["sweep"].unique()]
    names += [str(name) for name in data["model"].unique()] if data["model"].nunique() == 1 else []
    return ": ".join(names)


def finish(figure: Figure, title: str, handles: Sequence[Line2D]) -> None:
    """A heading, and one legend for all panels, below them; then the layout is computed, once."""
    width = figure.get_figwidth()
    figure.suptitle(wrapped(title, width), fontsize=8.0, color="#333333")
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(int(width / (0.055 * longest + 0.6)), 1)  # inches that an entry takes
    lines = -(-len(handles) // columns) if handles else 0
    figure.set_figheight(figure.get_figheight() + 0.16 * (lines + title.count("\n")))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3.0)
    figure.align_ylabels()
    figure.set_layout_engine("constrained", h_pad=0.05, w_pad=0.04)  # inches around each panel
