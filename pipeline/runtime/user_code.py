"""A user's own Python files: architectures, metrics and figures in folders of the working directory, and texts."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from pipeline.errors import UserError
from pipeline.storage.places import PACKAGE


def user_files(folder: str, beginning: str = "") -> list[Path]:
    """Python files of a folder of the working directory, in the order of their names; none where there is no folder."""
    place = Path.cwd() / folder
    if place.resolve().is_relative_to(PACKAGE):  # the working directory is within the package's own
        return []
    return sorted(path for path in place.glob(f"{beginning}*.py") if path.stem != "__init__")


@cache
def load(path: Path) -> ModuleType:
    """A file as a module; once per process, so that a class of it stays the same class.

    Raises:
        UserError: the file cannot be read, or fails; in one line that names it.
    """
    name = f"user_code.{path.parent.name}.{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file: expected a name that ends in .py")
    module = sys.modules[name] = module_from_spec(spec)  # dataclasses look their module up there
    with running(path):
        spec.loader.exec_module(module)
    return module


@contextmanager
def running(path: Path) -> Iterator[None]:
    """What goes wrong in the block is of a user's file: one line that names it, and where it is known the line.

    Raises:
        UserError: in place of any other error.
    """
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.filename == str(path):
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UserError(f"{place}: {type(error).__name__}: {error}") from error
