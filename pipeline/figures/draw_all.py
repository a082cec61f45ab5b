"""Draws the figures that a sweep has something for."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import style
from pipeline.figures.find import FigureModule, blamed, figures
from pipeline.figures.inputs import FigureInputs
from pipeline.storage.files import write_text

T = TypeVar("T")


@dataclass(frozen=True)
class DrawnFigure:
    name: str
    caption: str
    points: pd.DataFrame  # what its CSV holds
    files: list[Path]  # .png, .svg, .pdf


def caption(name: str, module: FigureModule) -> str:
    """What a figure shows: the first paragraph of its file."""
    words = " ".join((module.__doc__ or name).split("\n\n")[0].split())
    return words.removesuffix(".")


def draw_figures(source: FigureInputs, folder: Path) -> list[DrawnFigure]:
    """Write each figure as .png, .svg and .pdf, and its data as .csv next to them.

    What an earlier call left of a figure for which there is nothing any more goes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of a name in another script: it is a box there
        drawn = []
        for name, module in figures().items():
            with blamed(module):
                drawn.append(_draw(name, module, source, folder))
    return [figure for figure in drawn if figure is not None]


def _draw(name: str, module: FigureModule, source: FigureInputs, folder: Path) -> DrawnFigure | None:
    points = _checked(module.data(source), pd.DataFrame, "data")
    if len(points):
        write_text(folder / f"{name}.csv", points.to_csv(index=False, lineterminator="\n"))
        with without_gc():
            figure = _checked(module.draw(points, source.looks), Figure, "draw")
            files = style.save(figure, folder / name)
        return DrawnFigure(name, caption(name, module), points, files)
    for kind in (*style.KINDS, "csv"):
        (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return None


def _checked(returned: T, kind: type[T], function: str) -> T:
    """What a figure's function returned, which a user may have forgotten."""
    if not isinstance(returned, kind):
        raise TypeError(f"{function} returned {type(returned).__name__}: expected a {kind.__name__}")
    return returned


@contextmanager
def without_gc() -> Iterator[None]:
    """Without the garbage collector: nearly all objects of a figure live until it is written."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
