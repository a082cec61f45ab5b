"""Finds the figures, this package's modules named figure_*, and draws those that a sweep has something for."""

import gc
import pkgutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import style
from pipeline.figures.inputs import Looks, Material
from pipeline.storage.files import write_text


class FigureModule(Protocol):
    """What a figure's file defines."""

    def data(self, source: Material) -> pd.DataFrame:
        """What the figure shows, and its CSV holds; without rows it is not drawn."""

    def draw(self, points: pd.DataFrame, looks: Looks) -> Figure:
        """The figure, of this data alone."""


def figures() -> dict[str, FigureModule]:
    """By the name of their files and results: figure_1, figure_6, ..., figure_density, ..."""
    folder = str(Path(__file__).parent)
    names = [module.name for module in pkgutil.iter_modules([folder]) if module.name.startswith("figure_")]
    names.sort(key=lambda name: (not name[7:].isdigit(), name[7:].zfill(3)))  # 1 to 9, then words
    return {name: cast(FigureModule, import_module(f"pipeline.figures.{name}")) for name in names}


@dataclass(frozen=True)
class DrawnFigure:
    name: str
    caption: str
    points: pd.DataFrame  # what its CSV holds
    files: list[Path]  # .png, .svg, .pdf


def caption(name: str, figure: FigureModule) -> str:
    """What a figure shows: the first paragraph of its file."""
    words = " ".join((figure.__doc__ or name).split("\n\n")[0].split())
    return words.removesuffix(".")


def draw_figures(source: Material, folder: Path) -> list[DrawnFigure]:
    """Write each figure as .png, .svg and .pdf, and its data as .csv next to them.

    What an earlier call left of a figure for which there is nothing any more goes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of a name in another script: it is a box there
        drawn = (_draw(name, figure, source, folder) for name, figure in figures().items())
        return [figure for figure in drawn if figure is not None]


def _draw(name: str, figure: FigureModule, source: Material, folder: Path) -> DrawnFigure | None:
    points = figure.data(source)
    if len(points):
        write_text(folder / f"{name}.csv", points.to_csv(index=False, lineterminator="\n"))
        with _no_garbage():
            files = style.save(figure.draw(points, source.looks), folder / name)
        return DrawnFigure(name, caption(name, figure), points, files)
    for kind in (*style.KINDS, "csv"):
        (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return None


@contextmanager
def _no_garbage() -> Iterator[None]:
    """None is looked for: nearly all objects of a figure live until it is written."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
