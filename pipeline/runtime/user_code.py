"""A user's own Python files: architectures and metrics, in folders of the working directory, and sources of text."""

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
    """An error of a user's file is one line that names the file and the line; of any other it stays what it is.

    Raises:
        UserError: in place of the file's own error.
    """
    try:
        yield
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except OSError as error:
        if error.filename != str(path):
            raise
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if not lines or isinstance(error, UserError):
            raise
        raise UserError(f"{path}, line {lines[-1]}: {type(error).__name__}: {error}") from error
