"""The defaults of the dataclasses as a tree, from which Hydra composes: files of conf/ state only what differs."""

from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from typing import Any

from pipeline.config.checked import NO_VALUE, has_default, parts, type_hints
from pipeline.config.schema import Job, RunConfig

NAME = "setting_defaults"
"""What conf/config.yaml calls the tree in its list of defaults."""


def default_tree() -> dict[str, Any]:
    """Every setting but the architecture's own, which its registered class knows; without a default: `???`."""
    hints = {**type_hints(RunConfig), **type_hints(Job)}
    sections = {key: _section(hint) for key, hint in hints.items() if is_dataclass(hint) and key != "run"}
    return sections | {field.name: field.default for field in fields(Job) if has_default(field)}


def _section(schema: Any) -> dict[str, Any]:
    hints = type_hints(schema)
    return {field.name: _default(field, hints[field.name]) for field in fields(schema)}


def _default(field: "Field[Any]", hint: Any) -> Any:
    if field.default_factory is not NO_DEFAULT:
        made = parts(hint)[0]
        return _section(made) if is_dataclass(made) else field.default_factory()
    if not has_default(field):
        return NO_VALUE
    return list(field.default) if isinstance(field.default, tuple) else field.default
