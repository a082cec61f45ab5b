"""L0 of the reference over L0 of the candidate along loss recovered, with a simultaneous 95 % band.

Where loss recovered is refused the ratio is read along the cross-entropy added, and the axis says so.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipeline.analysis.frontier import PANEL, as_floats
from pipeline.comparison.questions import ABOUT_HALF
from pipeline.figures.inputs import FigureInputs, Looks
from pipeline.figures.panels import common_range, finish, grid, heading, log_axis, shown, wrapped
from pipeline.figures.style import BAND, RC, REFERENCE

LINES: dict[str, dict[str, Any]] = {
    "width_1.5": {"color": "#000000", "linestyle": "-"},
    "equal_width": {"color": "#009E73", "linestyle": (0, (4, 1.5))},
    "equal_flops": {"color": "#CC79A7", "linestyle": (0, (1, 1))},
    "equal_seconds": {"color": "#D55E00", "linestyle": (0, (6, 1.5, 1, 1.5))},
    "equal_dense_flops": {"color": "#56B4E9", "linestyle": (0, (3, 1, 1, 1, 1, 1))},
}
"""By comparison, in the order in which one stands for a pair of fronts that has several names."""
LABELS = {
    "width_1.5": "reference 1.5 times as wide", "equal_width": "equal width", "equal_flops": "equal training FLOPs",
    "equal_seconds": "equal training seconds", "equal_dense_flops": "equal dense FLOPs",
}  # fmt: skip
ALONG = {
    "loss_recovered": "Loss recovered, by zero ablation (fraction)",
    "delta_ce": "Cross-entropy added (nats per prediction)",
}
TOKENS = "evaluation_tokens"
HEIGHT = 2.1
BAND_LABEL = "95 % band, simultaneous along the line, over "
OVER = {"sequences": "documents", "both": "documents and seeds"}
PAIR = ("reference", "candidate", "d_sae_reference", "d_sae_candidate")


def data(source: FigureInputs) -> pd.DataFrame:
    """The curve by zero ablation, each pair of fronts once, under the first of its names; `names` has all of them."""
    curve = source.curve
    if not len(curve):
        return curve
    curve = curve[curve["ablation"] == "zero"]
    order = {name: place for place, name in enumerate(LINES)}
    done = source.runs[source.runs["status"] == "done"]
    curve = curve.assign(sweep=source.runs["sweep"].iloc[0], place=curve["comparison"].map(order))
    curve = curve.assign(seeds=done["seed"].nunique(), **{TOKENS: _only(done[TOKENS])})
    by = [*PANEL, *PAIR]
    names = curve.groupby(by, dropna=False)["comparison"].transform(lambda names: " ".join(dict.fromkeys(names)))
    first = curve.groupby(by, dropna=False)["place"].transform("min")
    return curve.assign(names=names)[curve["place"] == first].drop(columns="place").reset_index(drop=True)


def _only(values: pd.Series) -> float:
    """The one value; NaN where it is unknown or there are several."""
    known = as_floats(values.dropna().drop_duplicates())
    return float(known[0]) if len(known) == 1 else np.nan


def _basis(points: pd.DataFrame) -> str:
    """What the lines rest on, as far as it is known."""
    seeds, tokens = (float(points[name].iloc[0]) for name in ("seeds", TOKENS))
    parts = [f"{seeds:.0f} seed{'s' if seeds > 1 else ''}"] if seeds > 0 else []
    parts += [f"{tokens:,.0f} held-out tokens"] if tokens > 0 else []
    return ", ".join(["as trained", *parts])


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    layout = grid(points)
    ranges = [_y_range(rows) for _, rows in layout.panels]
    common = common_range(ranges)
    differing = points["fidelity"].nunique() > 1
    with rc_context(RC):
        height = HEIGHT * layout.rows * layout.shrunk(HEIGHT)
        figure = Figure(figsize=(layout.panel_width * layout.columns, height + 0.3))
        for number, (title, rows) in enumerate(layout.panels):
            axes = figure.add_subplot(layout.rows, layout.columns, number + 1)
            axes.set_title(title)
            _panel(axes, rows, _colours(points, looks), *(common or ranges[number]))
            if differing or number + layout.columns >= len(layout.panels):
                axes.set_xlabel(wrapped(ALONG[rows["fidelity"].iloc[0]], layout.panel_width - 0.4))
            if number % layout.columns == 0:
                axes.set_ylabel(_y_label(points))
        said = "" if common else "\nthe y range differs between panels"
        finish(figure, f"{heading(points)}\n{_basis(points)}{said}", _handles(points, _colours(points, looks)))
    return figure


def _colours(points: pd.DataFrame, looks: Looks) -> dict[str, str]:
    """By candidate where there are several: then lines differ in colour by it, and in dashes by the comparison."""
    candidates = [str(name) for name in points["candidate"].unique()]
    if len(candidates) < 2:
        return {}
    return {
        name: next(look.colour for label, look in looks.items() if label.split(" (")[0] == name) for name in candidates
    }


def _panel(axes: Axes, rows: pd.DataFrame, colours: dict[str, str], low: float, high: float) -> None:
    """A line per pair of fronts, with the band of its interval; and the claim's limits where the claim is judged."""
    judged = rows["about_half_judged"].any()
    if judged:
        axes.axhspan(*ABOUT_HALF, **BAND)
    for _, pair in rows.groupby(["comparison", *PAIR]):
        line = dict(LINES[pair["comparison"].iloc[0]])
        line["color"] = colours.get(pair["candidate"].iloc[0], line["color"])
        at = pair["at"] if pair["fidelity"].iloc[0] == "loss_recovered" else -pair["at"]
        axes.plot(at, pair["ratio"], zorder=3, **line)
        ends = (pair["ratio_low"], pair["ratio_high"])
        axes.fill_between(at, *ends, color=line["color"], alpha=0.18, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(10**low, 10**high)
    log_axis(axes.yaxis, 10**low, 10**high, 6)
    axes.locator_params(axis="x", nbins=4)
    for level in (1.0, *(ABOUT_HALF if judged else ())):
        axes.axhline(level, **REFERENCE)


def _y_label(points: pd.DataFrame) -> str:
    """The arms by name where there are but two."""
    arms = [points[name].unique() for name in ("reference", "candidate")]
    named = [
        names[0] if len(names) == 1 else word for names, word in zip(arms, ("reference", "candidate"), strict=True)
    ]
    return f"L0 of {named[0]} /\nL0 of {named[1]} (ratio)"


def _y_range(rows: pd.DataFrame) -> tuple[float, float]:
    """log10 of limits that hold the ratio and those of the claims, and the bands as far as half that range beyond."""
    ratio = as_floats(rows["ratio"])
    ends = np.concatenate([as_floats(rows[name]) for name in ("ratio_low", "ratio_high")])
    low, high = min(ratio.min(), 1.0) / 1.1, max(ratio.max(), ABOUT_HALF[1]) * 1.1
    beyond = (high / low) ** 0.5
    ends = np.clip(ends[np.isfinite(ends)], low / beyond, high * beyond)
    return float(np.log10(min([low, *ends]))), float(np.log10(max([high, *ends])))


def _handles(points: pd.DataFrame, colours: dict[str, str]) -> list[Line2D | Patch]:
    there = set(points["comparison"])
    handles: list[Line2D | Patch] = [
        Line2D([], [], label=shown(f"candidate: {name}"), color=colour) for name, colour in colours.items()
    ]
    for name, look in LINES.items():
        if name in there:
            handles.append(Line2D([], [], label=LABELS[name], **look | ({"color": "#555555"} if colours else {})))
    over = [OVER[noise] for noise in points["noise"].unique() if noise in OVER]
    if over:
        handles.append(Patch(color="#000000", alpha=0.18, linewidth=0, label=BAND_LABEL + ", or ".join(over)))
    if points["about_half_judged"].any():
        handles.append(Patch(label="claim: {:g} to {:g} is about half".format(*ABOUT_HALF), **BAND))
    return handles
