"""Architectures by name. Any module may register one; the trainer knows none of them."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.errors import UserError
from pipeline.runtime.user_code import load, user_files
from pipeline.sae.base import SAE

S = TypeVar("S", bound=type[SAE])
_ARCHITECTURES: dict[str, tuple[type[SAE], type]] = {}


def register(name: str, config: type) -> Callable[[S], S]:
    """Class decorator: `architecture.name=<name>` trains this class, configured by a frozen dataclass without lists."""

    def add(cls: S) -> S:
        if name in _ARCHITECTURES and _ARCHITECTURES[name][0].__qualname__ != cls.__qualname__:
            raise ValueError(f"architecture {name} is registered already, by {_ARCHITECTURES[name][0].__qualname__}")
        _ARCHITECTURES[name] = (cls, config)
        return cls

    return add


def sae_class(name: str) -> type[SAE]:
    """The SAE class of an architecture. Raises UserError: there is none of this name."""
    return _lookup(name)[0]


def config_class(name: str) -> type:
    """The configuration dataclass of an architecture. Raises UserError: there is none of this name."""
    return _lookup(name)[1]


def registered() -> list[str]:
    """Names of all architectures, in alphabetical order."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent / "architectures")]):  # each file registers itself
        importlib.import_module(f"pipeline.sae.architectures.{module.name}")
    for path in user_files("architectures"):
        load(path)
    return sorted(_ARCHITECTURES)


def _lookup(name: str) -> tuple[type[SAE], type]:
    known = registered()
    if name not in known:
        raise UserError(f"architecture.name={name} is unknown; registered: {', '.join(known)}")
    return _ARCHITECTURES[name]
