"""What conf/ holds: its groups, their options, and every setting's key. Read from disk, without Hydra."""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import yaml

from pipeline.config.checked import type_hints
from pipeline.config.schema import Job, RunConfig
from pipeline.storage.places import CONF_FOLDERS

FOLDERS = CONF_FOLDERS
"""Where options are looked for; the first that has one counts."""
IN_CODE = {"hydra/launcher": ("local", "slurm")}
"""Options that no file states."""


def groups() -> list[str]:
    """`model`, `site`, ...; not `hydra`, of which only the launcher may be chosen, nor `local`."""
    found = {path.name for folder in FOLDERS if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
    return sorted(found - {"hydra", "local"})


def options(group: str) -> list[str]:
    """What may be chosen of a group; nothing where there is no such group."""
    found = {path.stem for folder in FOLDERS for path in (folder / group).glob("*.yaml") if path.is_file()}
    return sorted(found.union(IN_CODE.get(group, ()))) if group in {*groups(), *IN_CODE} else []


def option_file(group: str, option: str) -> Path | None:
    """The file of an option, or what lies in its place; None where there is nothing."""
    paths = [folder / group / f"{option}.yaml" for folder in FOLDERS]
    return next((path for path in paths if path.exists() or path.is_symlink()), None)


def shown(path: Path) -> str:
    """A file of conf/ as people write it."""
    folder = next((folder for folder in FOLDERS if path.is_relative_to(folder)), None)
    return f"conf/{path.relative_to(folder)}" if folder else str(path)


def top_level() -> dict[str, Any]:
    """Type hints of the keys that stand outside all sections."""
    return {key: hint for key, hint in _hints().items() if not is_dataclass(hint) and hint is not Any}


def sections() -> list[str]:
    """Groups whose keys are settings."""
    return [key for key in _hints() if key not in top_level()]


def setting_hints() -> dict[str, Any]:
    """Type hints by key in full, as `train.lr`; an architecture's own keys are its class's, which is not read here."""
    return dict(_keys(_hints(), ""))


def setting_keys() -> list[str]:
    """Every setting in full; of architectures those that a file of conf/architecture states."""
    keys = set(setting_hints())
    for path in (path for folder in FOLDERS for path in (folder / "architecture").glob("*.yaml")):
        keys |= {f"architecture.{key}" for key in _stated(path)}
    return sorted(keys)


def _hints() -> dict[str, Any]:
    hints = type_hints(RunConfig) | type_hints(Job)
    del hints["run"]
    return hints


def _keys(hints: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Fields, and those of the dataclasses among them, of such too as may also be None."""
    for name, hint in hints.items():
        yield prefix + name, hint
        for schema in filter(is_dataclass, (hint, *get_args(hint))):
            yield from _keys(type_hints(schema), f"{prefix}{name}.")  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _stated(path: Path) -> tuple[str, ...]:
    """The keys of a file, of which a broken one has none: whoever uses it is told."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return ()
    return tuple(map(str, content)) if isinstance(content, Mapping) else ()
