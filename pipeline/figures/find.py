"""Finds the figures: modules named figure_*, of this package and of a user's folder figures/."""

import pkgutil
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import pandas as pd
from matplotlib.figure import Figure

from pipeline.errors import UserError
from pipeline.figures.inputs import FigureInputs, Looks
from pipeline.runtime.user_code import load, running
from pipeline.storage.places import USER_FIGURES

OURS = Path(__file__).resolve().parent


class FigureModule(Protocol):
    """What a figure's file defines."""

    __file__: str

    def data(self, source: FigureInputs) -> pd.DataFrame:
        """What the figure shows, and its CSV holds; without rows it is not drawn."""

    def draw(self, points: pd.DataFrame, looks: Looks) -> Figure:
        """The figure, of this data alone."""


def figures() -> dict[str, FigureModule]:
    """By the name of their files and results: figure_1, figure_6, ..., figure_density, ..., then a user's own.

    Raises:
        UserError: a user's file cannot be loaded, lacks a function, or has the name of one of ours.
    """
    found = {name: cast(FigureModule, import_module(f"pipeline.figures.{name}")) for name in _names(OURS)}
    if USER_FIGURES.resolve() == OURS:  # the working directory is the package's own
        return found
    for name in _names(USER_FIGURES):
        path = USER_FIGURES / f"{name}.py"
        if name in found:
            raise UserError(f"{path}: there is a figure of that name: expected another, as figure_my_{name[7:]}.py")
        found[name] = _load(path)
    return found


def _names(folder: Path) -> list[str]:
    names = [module.name for module in pkgutil.iter_modules([str(folder)]) if module.name.startswith("figure_")]
    return sorted(names, key=lambda name: (not name[7:].isdigit(), name[7:].zfill(3)))  # 1 to 9, then words


def _load(path: Path) -> FigureModule:
    module = load(path)
    lacking = [function for function in ("data", "draw") if not callable(getattr(module, function, None))]
    if lacking:
        raise UserError(f"{path} has no function {lacking[0]}: expected data(source) and draw(points, looks)")
    return cast(FigureModule, module)


def blamed(figure: FigureModule) -> AbstractContextManager[None]:
    """An error of a user's figure is one line that names its file; in ours it stays what it is."""
    path = Path(figure.__file__)
    return nullcontext() if path.parent == OURS else running(path)
