"""Figures of the page as SVG: one panel per site, the arms and looks of `pipeline.figures`, and where each point lies.

Only coordinates and words are made here; the template writes the elements.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colors
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

from pipeline.analysis.frontier import KEY, as_floats
from pipeline.comparison.questions import SHRUNK, UNBIASED
from pipeline.comparison.shrinkage import HEALTHY
from pipeline.figures.inputs import Looks
from pipeline.figures.panels import L0_LABEL, grid
from pipeline.figures.style import RC, Look
from pipeline.report.axis import Axis

WIDTH, HEIGHT = 360, 264
LEFT, RIGHT, TOP, BOTTOM = 56, 350, 8, 222
"""Edges of the axes, in the units of the drawing."""
MARK = 8.0
LINE = 1.6
GRID = RC["grid.color"]
X_LABEL = L0_LABEL


@dataclass(frozen=True)
class Measure:
    """What a figure shows against L0."""

    column: str
    heading: str
    label: str
    references: tuple[float, ...] = ()  # drawn where the axis reaches them
    include: tuple[float, ...] = ()  # values that the axis must reach
    bars: bool = False  # there may be an interval


MEASURES = (
    Measure("loss_recovered", "Loss recovered against L0", "Loss recovered", references=(0.0, 1.0), bars=True),
    Measure(
        "gamma",
        "Gamma, the relative reconstruction bias, against L0",
        "Gamma",
        (1 - UNBIASED, 1 + UNBIASED, SHRUNK),
        include=(1.0,),
        bars=True,
    ),
    Measure("alive_fraction", "Features alive against L0", "Alive fraction", (HEALTHY,), include=(HEALTHY, 1.0)),
)


@dataclass(frozen=True)
class Entry:
    """An arm in the legend, and its look in the page's style sheet under `.a<number>`."""

    number: int
    label: str
    colour: str
    dashes: str
    marker: str  # outline


@dataclass(frozen=True)
class PlotPoint:
    x: float
    y: float
    row: int  # of the table of runs
    hollow: bool
    label: str


@dataclass(frozen=True)
class Drawn:
    """One arm in one panel."""

    number: int
    line: str  # the front
    bars: str  # intervals
    points: list[PlotPoint]


@dataclass(frozen=True)
class Panel:
    title: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    references: list[float]
    arms: list[Drawn]
    note: str


@dataclass(frozen=True)
class Chart:
    measure: Measure
    panels: list[Panel]


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with an L0, sorted, with the row that each has in the table of runs."""
    known = runs.assign(row=np.arange(len(runs)))[np.isfinite(as_floats(runs["l0"]))]
    return known.sort_values([*KEY, "l0", "run"]).reset_index(drop=True)


def legend(data: pd.DataFrame, looks: Looks) -> list[Entry]:
    """The arms that have a finished run."""
    there = [(label, look) for label, look in looks.items() if label in set(data["arm"])]
    return [_entry(number, label, look) for number, (label, look) in enumerate(there)]


def _entry(number: int, label: str, look: Look) -> Entry:
    dashes = "none" if isinstance(look.dashes, str) else " ".join(f"{LINE * part:g}" for part in look.dashes[1])
    return Entry(number, label, colors.to_hex(look.colour), dashes, outline(look.marker))


def outline(marker: str) -> str:
    """One of matplotlib's markers as the outline of an SVG path."""
    style = MarkerStyle(marker)
    letters = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
    parts = []
    for corners, code in style.get_path().transformed(style.get_transform()).iter_segments(simplify=False):
        pairs = " ".join(f"{MARK * x:.2f},{-MARK * y:.2f}" for x, y in corners.reshape(-1, 2))
        parts.append("Z" if code == Outline.CLOSEPOLY else f"{letters[code]}{pairs}")
    return "".join(parts)


def charts(data: pd.DataFrame, points: pd.DataFrame, entries: list[Entry]) -> list[Chart]:
    """Every measure that some run has.

    Args:
        data: as `finished` gives them.
        points: means over seeds, as `pipeline.analysis.frontier.points` gives them; fronts are drawn through them.
        entries: as `legend` gives them.
    """
    numbers = {entry.label: entry.number for entry in entries}
    point_of = {run: row for row, names in points["runs"].items() for run in str(names).split(" ")}
    found = []
    for measure in MEASURES:
        rows = data[np.isfinite(as_floats(data[measure.column]))]
        panels = grid(rows).panels if len(rows) else []
        drawn = [_Panel(measure, here, points, point_of).drawn(title, numbers) for title, here in panels]
        found += [Chart(measure, drawn)] if drawn else []
    return found


class _Panel:
    """The runs of one panel on their axes; runs in which no feature fires have no place on a logarithmic one."""

    def __init__(self, measure: Measure, runs: pd.DataFrame, points: pd.DataFrame, point_of: dict[str, object]) -> None:
        self.measure, self.points, self.point_of = measure, points, point_of
        self.runs = runs[as_floats(runs["l0"]) > 0]
        self.hidden = len(runs) - len(self.runs)
        self.x, self.y = self._x_axis(), self._y_axis()

    def _x_axis(self) -> Axis:
        values = as_floats(self.runs["l0"])
        low, high = (values.min(), values.max()) if values.size else (1.0, 100.0)
        margin = max((high / low) ** 0.06, 1.15)
        return Axis(low / margin, high * margin, LEFT, RIGHT, logarithmic=True)

    def _y_axis(self) -> Axis:
        found = [as_floats(self.runs[name]) for name in (self.measure.column, *self._ends())]
        values = np.concatenate([*found, np.asarray(self.measure.include, dtype=float)])
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
        return Axis(low - margin, high + margin, BOTTOM, TOP)

    def _ends(self) -> tuple[str, ...]:
        return tuple(f"{self.measure.column}_{end}" for end in ("low", "high")) if self.measure.bars else ()

    def drawn(self, title: str, numbers: dict[str, int]) -> Panel:
        at = [value for value in self.measure.references if self.y.low < value < self.y.high]
        note = f"{self.hidden} run{'s' if self.hidden > 1 else ''} with L0 = 0 not shown" if self.hidden else ""
        references = [float(place) for place in self.y.place(np.asarray(at, dtype=float))]
        arms_here = [self._arm(str(label), rows, numbers[str(label)]) for label, rows in self.runs.groupby("arm")]
        return Panel(title, self.x.ticks(), self.y.ticks(), references, arms_here, note)

    def _arm(self, label: str, rows: pd.DataFrame, number: int) -> Drawn:
        x, y = as_floats(rows["l0"]), as_floats(rows[self.measure.column])
        placed = zip(self.x.place(x), self.y.place(y), rows["row"], ~rows["on_frontier"], x, y, strict=True)
        points = [
            PlotPoint(px, py, row, hollow, f"{label}: L0 {l0:.4g}, {self.measure.label.lower()} {value:.4g}")
            for px, py, row, hollow, l0, value in placed
        ]
        points.sort(key=lambda point: not point.hollow)  # the front lies above what it dominates
        return Drawn(number, self._front(rows), " ".join(self._bars(rows)), points)

    def _front(self, rows: pd.DataFrame) -> str:
        """The line through the front's points."""
        names = rows.loc[rows["on_frontier"].astype(bool), "run"]
        kept = list(dict.fromkeys(self.point_of[name] for name in names if name in self.point_of))
        front = self.points.loc[kept].sort_values(["l0", self.measure.column])
        x, y = as_floats(front["l0"]), as_floats(front[self.measure.column])
        usable = (x > 0) & np.isfinite(y)
        places = zip(self.x.place(x[usable]), self.y.place(y[usable]), strict=True)
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in places)

    def _bars(self, rows: pd.DataFrame) -> Iterator[str]:
        if self.measure.bars:
            low, high = (self.y.place(as_floats(rows[name])) for name in self._ends())
            for x, first, last in zip(self.x.place(as_floats(rows["l0"])), low, high, strict=True):
                if np.isfinite(first) and np.isfinite(last):
                    yield f"M{x:.1f} {first:.1f}V{last:.1f}"
