"""Finds the figures: modules named figure_*, of this package and of a user's folder figures/."""

import pkgutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Protocol, cast

import pandas as pd
from matplotlib.figure import Figure

from pipeline.errors import UserError
from pipeline.figures.inputs import FigureInputs, Looks
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
        found[name] = _load(name, path)
    return found


def _names(folder: Path) -> list[str]:
    names = [module.name for module in pkgutil.iter_modules([str(folder)]) if module.name.startswith("figure_")]
    return sorted(names, key=lambda name: (not name[7:].isdigit(), name[7:].zfill(3)))  # 1 to 9, then words


def _load(name: str, path: Path) -> FigureModule:
    spec = spec_from_file_location(f"user_figures.{name}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    with user_code(path):
        spec.loader.exec_module(module)
    lacking = [function for function in ("data", "draw") if not callable(getattr(module, function, None))]
    if lacking:
        raise UserError(f"{path} has no function {lacking[0]}: expected data(source) and draw(points, looks)")
    return cast(FigureModule, module)


@contextmanager
def user_code(path: Path) -> Iterator[None]:
    """An error in a user's file becomes one line that names the file and the line; in ours it stays what it is."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        if path.parent == OURS:
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UserError(f"{place}: {type(error).__name__}: {error}") from error
