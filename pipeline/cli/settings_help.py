"""What `run.py --help` says below the configuration: every setting with its meaning and what it accepts."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from pipeline.cli.validate import top_level
from pipeline.config.checked import accepted, parts, type_hints
from pipeline.config.launcher import LAUNCHERS
from pipeline.config.meanings import SETTINGS


def settings_of(schema: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every key below a dataclass, in full, with its type hint; a section comes before its keys."""
    for name, hint in type_hints(schema).items():
        yield f"{key}.{name}", hint
        if is_dataclass(inner := parts(hint)[0]):
            yield from settings_of(inner, f"{key}.{name}")


def settings() -> Iterator[tuple[str, Any]]:
    """Every key but the architecture's own, which its registered class knows, with its type hint."""
    for key, hint in top_level().items():
        yield key, hint
        if is_dataclass(hint):
            yield from settings_of(hint, key)


def described() -> str:
    """A line for each setting."""
    from pipeline.sae.registry import config_class, registered  # imports torch

    found = dict(settings())
    for name in registered():
        found |= dict(settings_of(config_class(name), "architecture"))
    for options in LAUNCHERS.values():
        found |= dict(settings_of(options, "hydra.launcher"))
    lines = {key: accepted(hint) for key, hint in found.items() if not is_dataclass(parts(hint)[0])}
    del lines["architecture"]  # a section, whose keys are listed
    width = max(map(len, lines))
    return "\n".join(f"{key:{width}}  {_meaning(key)}{words}" for key, words in lines.items())


def _meaning(key: str) -> str:
    """Nothing for a setting of an architecture of the user's own."""
    return f"{SETTINGS[key]}; accepts: " if key in SETTINGS else ""
