"""The figures on the page: each as the SVG that lies next to the page, its points tied to the table of runs."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from pipeline.figures.draw_all import DrawnFigure
from pipeline.figures.marker_ids import read_gid
from pipeline.records.columns import heading
from pipeline.report.inline_svg import PlotPoint, StyleClasses, inline

LARGEST = 3_000_000
"""Bytes of an SVG on the page; a larger one, of hundreds of panels, is there as its PNG."""


@dataclass(frozen=True)
class ShownFigure:
    """One of `svg` and `png` is empty."""

    name: str
    caption: str
    svg: Markup
    png: str  # a data: address
    files: list[str]


def shown(figure: DrawnFigure, rows: Mapping[str, int], classes: StyleClasses) -> ShownFigure:
    """A figure as the template takes it.

    Args:
        rows: by a run's name, its row in the page's table of runs.
    """
    of_kind = {path.suffix: path for path in figure.files}
    files = [*(path.name for path in figure.files), f"{figure.name}.csv"]
    svg = of_kind[".svg"].read_bytes()
    if len(svg) > LARGEST:
        data = base64.b64encode(of_kind[".png"].read_bytes()).decode()
        return ShownFigure(figure.name, figure.caption, Markup(), f"data:image/png;base64,{data}", files)
    markup = inline(svg, figure.name, figure.caption, _Points(figure.points, rows).of_group, classes)
    return ShownFigure(figure.name, figure.caption, markup, "", files)


class _Points:
    """What the markers of a figure stand for."""

    def __init__(self, data: pd.DataFrame, rows: Mapping[str, int]) -> None:
        self._values = {str(name): column.tolist() for name, column in data.items()}  # faster than the frame's cells
        self._rows = rows

    def of_group(self, gid: str) -> list[PlotPoint | None]:
        """None for points of runs that the table does not have; nothing for a group that is not of points."""
        found = read_gid(gid)
        if found is None:
            return []
        column, numbers = found
        return [self._point(column, number) for number in numbers]

    def _point(self, column: str, number: int) -> PlotPoint | None:
        run, arm, l0, value = (self._values[name][number] for name in ("run", "arm", "l0", column))
        if run not in self._rows:
            return None
        return PlotPoint(self._rows[run], f"{arm}: L0 {l0:.4g}, {heading(column)} {value:.4g}")
