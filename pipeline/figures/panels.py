"""What the figures share: which runs go into one panel, how panels are laid out, and how an arm is drawn in one."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from pipeline.figures.style import Look, look
from pipeline.frontier import KEY, PANEL, as_floats, on_frontier

DRAWN = (
    *KEY,
    "architecture.expansion",
    "sparsity_coefficient",
    "seed",
    "run",
    "l0",
    "loss_recovered",
    "gamma",
    "alive_fraction",
)
L0_LABEL = "L0 (mean active features per token)"
TITLE_CHARACTERS = 38
"""What fits into one line above a panel."""


def drawn(runs: pd.DataFrame, y: str) -> pd.DataFrame:
    """The runs that have both L0 and y, sorted, with a column `on_frontier`: non-dominated in (L0, loss recovered)."""
    marked = runs.assign(on_frontier=on_frontier(runs))
    known = marked[np.isfinite(as_floats(marked["l0"])) & np.isfinite(as_floats(marked[y]))]
    return known[["sweep", *DRAWN, "on_frontier"]].sort_values([*KEY, "l0", "run"]).reset_index(drop=True)


@dataclass(frozen=True)
class Grid:
    """Panels row by row; a title and its runs each."""

    panels: list[tuple[str, pd.DataFrame]]
    columns: int

    @property
    def rows(self) -> int:
        return -(-len(self.panels) // self.columns)


def grid(data: pd.DataFrame) -> Grid:
    """One panel a site and layer; also one a model, data set or evaluation where a sweep has several."""
    groups = list(
        data.sort_values(["layer", "site", *PANEL], kind="stable").groupby(list(PANEL), sort=False, dropna=False)
    )
    titles = _titles([dict(zip(PANEL, key, strict=True)) for key, _ in groups])
    sites = data["site"].nunique()
    columns = min(len(groups), sites if 1 < sites <= 4 else 3)
    return Grid([(title, rows) for title, (_, rows) in zip(titles, groups, strict=True)], columns)


def _titles(keys: Sequence[dict[str, object]]) -> list[str]:
    """Site and layer, and then what it takes to tell the panels apart."""
    titles = [f"{key['site']}, layer {key['layer']}" for key in keys]
    for part in ("model", "data.name", "evaluation.id"):
        if len(set(titles)) < len(titles) and len({key[part] for key in keys}) > 1:
            more = (textwrap.fill(str(key[part]), TITLE_CHARACTERS) for key in keys)
            titles = [f"{title}\n{text}" for title, text in zip(titles, more, strict=True)]
    return titles


@dataclass(frozen=True)
class Arm:
    """One architecture at one width rule; it has one frontier in a panel."""

    label: str
    look: Look
    rows: pd.DataFrame


def arms(data: pd.DataFrame, panel: pd.DataFrame | None = None) -> Iterator[Arm]:
    """The arms of a figure, each with its rows in one panel (or in all); arms without rows there are left out."""
    rows = data if panel is None else panel
    for architecture, runs in data.groupby("architecture"):
        for steps, width in enumerate(sorted(set(_widths(runs)))):
            here = rows[(rows["architecture"] == architecture) & (_widths(rows) == width)]
            if len(here):
                yield Arm(f"{architecture} ({width[1]})", look(str(architecture)).lighter(steps), here)


def _widths(rows: pd.DataFrame) -> pd.Series:
    """What sorts and labels each row's width: the expansion where it is known, else the width itself."""
    given = zip(rows["architecture.expansion"], rows["d_sae"], strict=True)
    return pd.Series(
        [(x, f"{x:g} x d_in") if pd.notna(x) else (float(d), f"{d:,} wide") for x, d in given], rows.index, dtype=object
    )


def draw_arm(axes: Axes, arm: Arm, y: str) -> None:
    """Runs on the frontier filled and joined by a line, dominated runs hollow; runs without any feature left out."""
    rows = arm.rows[arm.rows["l0"] > 0]
    style: dict[str, Any] = {"marker": arm.look.marker, "markeredgecolor": arm.look.colour, "markeredgewidth": 1.2}
    front, dominated = rows[rows["on_frontier"]].sort_values(["l0", y]), rows[~rows["on_frontier"]]
    axes.plot(dominated["l0"], dominated[y], linestyle="none", markerfacecolor="white", zorder=2.5, **style)
    axes.plot(front["l0"], front[y], color=arm.look.colour, linestyle=arm.look.dashes, zorder=3, **style)


def finish_x(axes: Axes, rows: pd.DataFrame, label: bool) -> None:
    """A logarithmic L0 axis with plain numbers, and a note of the runs that it cannot show."""
    positive = rows.loc[rows["l0"] > 0, "l0"]
    axes.set_xscale("log")
    low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 100.0)
    margin = max((high / low) ** 0.06, 1.15)
    axes.set_xlim(low / margin, high * margin)
    decades = np.log10(high / low)
    steps = (1, 2, 5) if decades < 2.5 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=12) if decades > 0.6 else MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    if label:
        axes.set_xlabel(L0_LABEL)
    if hidden := len(rows) - len(positive):
        note = f"{hidden} run{'s' if hidden > 1 else ''} with L0 = 0 not shown"
        text = axes.text(0.98, 0.03, note, transform=axes.transAxes, ha="right", fontsize=7.5, color="#555555")
        text.set_bbox({"color": "white", "pad": 1})


def finish(figure: Figure, data: pd.DataFrame) -> None:
    """A heading that says whose runs these are, and one legend for all panels, below them."""
    heading = [str(name) for name in data["sweep"].unique()]
    heading += [str(name) for name in data["model"].unique()] if data["model"].nunique() == 1 else []
    figure.suptitle(": ".join(heading), fontsize=9.5, color="#333333")
    handles = [
        Line2D([], [], color=arm.look.colour, marker=arm.look.marker, linestyle=arm.look.dashes, label=arm.label)
        for arm in arms(data)
    ]
    if not data["on_frontier"].all():
        hollow = Line2D([], [], marker="o", linestyle="none", label="hollow: dominated", color="#555555")
        hollow.set_markerfacecolor("white")
        handles.append(hollow)
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = int(figure.get_figwidth() / (0.065 * longest + 0.6)) or 1  # inches that an entry takes
    figure.set_figheight(figure.get_figheight() + 0.2 * (-(-len(handles) // columns)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3.2)
    figure.align_ylabels()
    figure.set_layout_engine("constrained", h_pad=0.07)  # inches around each panel
