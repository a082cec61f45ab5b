"""Finds the figures, this package's modules named figure_*, and draws those that a sweep has something for."""

import gc
import pkgutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


def caption(name: str) -> str:
    """What a figure shows: the first sentence of its file."""
    words = " ".join((import_module(f"pipeline.figures.{name}").__doc__ or name).split("\n\n")[0].split())
    return words.removesuffix(".")


def draw_figures(source: Material, folder: Path) -> list[Path]:
    """Write each figure as .png, .svg and .pdf, with its data as .csv beside it; returns the pictures.

    What an earlier call left of a figure for which there is nothing any more goes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of a name in another script: it is a box there
        return [path for name, figure in figures().items() for path in _draw(name, figure, source, folder)]


def _draw(name: str, figure: FigureModule, source: Material, folder: Path) -> list[Path]:
    points = figure.data(source)
    if len(points):
        write_text(folder / f"{name}.csv", points.to_csv(index=False, lineterminator="\n"))
        with _no_garbage():
            return style.save(figure.draw(points, source.looks), folder / name)
    for kind in (*style.KINDS, "csv"):
        (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return []


@contextmanager
def _no_garbage() -> Iterator[None]:
    """None is looked for: nearly all objects of a figure live until it is written."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
