"""What a sweep's file (conf/sweep/) and a user's own defaults (conf/local/) may hold; other options are only read."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cli.grids import EXAMPLE, check_grids, check_value, siblings, where
from pipeline.cli.groups import groups, option_file, options, sections, setting_keys, shown, top_level
from pipeline.cli.own_conf import check_choices
from pipeline.cli.user_files import FileList, FileMapping, read_user_file
from pipeline.config.checked import checked, type_hints
from pipeline.config.hints import hint
from pipeline.config.launcher import LAUNCHERS
from pipeline.errors import UserError

COMMANDS_OWN = {"plan", "extend"}
"""Settings of one command, which no file may hold."""
DEFAULTS = "entries as - override /model: gpt2"


def check_files(overrides: Sequence[str]) -> None:
    """Read every file that these overrides name, after a user's own defaults.

    Raises:
        UserError: one of them cannot be read, or holds what belongs elsewhere.
    """
    check_choices(overrides)
    chosen = {key.lstrip("+"): value for key, _, value in (text.partition("=") for text in overrides)}
    _check_own_defaults()
    for group, value in chosen.items():
        if group == "sweep":
            _check_sweep(value.strip("'\""))
        elif group in {*groups(), "hydra/launcher"}:
            for option in re.findall(r"[\w.-]+", value):
                _check_option(group, option)


def _check_option(group: str, option: str) -> None:
    if path := option_file(group, option):
        read_user_file(path, None)


def _check_own_defaults() -> None:
    path = option_file("local", "default")
    if path is None:
        return
    content = read_user_file(path, "_global_")
    if "sweep_name" in content:
        raise UserError(f"{content.where['sweep_name']}sweep_name belongs to one sweep: give it on the command line")
    _check_settings(content, ("launcher",))


def _check_sweep(option: str) -> None:
    path = option_file("sweep", option)
    if path is None:
        return
    content = read_user_file(path, "_global_")
    _check_settings(content, ("launcher", "sweeper"))
    if not content.get("sweep_name"):
        at = where(content, "sweep_name") or f"{shown(path)}: "
        raise UserError(f"{at}the sweep has no name: expected sweep_name: {option}")
    sweeper = content.get("hydra", {}).get("sweeper", {})
    if "grids" not in sweeper:
        raise UserError(f"{shown(path)}: the sweep declares no grids: expected hydra.sweeper.grids, {EXAMPLE}")
    check_grids(sweeper.get("params", {}), sweeper["grids"], sweeper)
    for grid in (sweeper.get("params", {}), *sweeper["grids"]):
        _check_choices(grid)


def _check_settings(content: FileMapping, hydras: Sequence[str]) -> None:
    known = [*top_level(), *sections(), "defaults", "hydra"]
    for key, value in content.items():
        at = content.where[key]
        if key == "defaults":
            _check_defaults(value, at)
        elif key == "hydra":
            _check_hydra(value, at, hydras)
        elif key in COMMANDS_OWN:
            raise UserError(f"{at}{key} belongs to one command: give it on the command line")
        elif key in sections():
            _check_section(key, value, at)
        elif key in setting_keys() and key not in known:
            section, _, name = key.partition(".")
            raise UserError(f"{at}{key} cannot be written with a dot here: expected {section}: {{{name}: VALUE}}")
        elif key not in known:
            raise UserError(f"{at}{key} is not a setting{hint(key, known, setting_keys())}")
        elif key != "sweep_name" or value:  # a sweep without a name has words of its own
            check_value(value, key, at)


def _check_section(name: str, value: Any, at: str) -> None:
    if not isinstance(value, FileMapping):
        choose = f"; to choose one, defaults: [override /{name}: {value}]" if value in options(name) else ""
        raise UserError(f"{at}{name} holds {value!r:.80}: expected a mapping of its keys{choose}")
    known = setting_keys()
    for key, inner in value.items():
        full = f"{name}.{key}"
        if full not in known:
            raise UserError(f"{value.where[key]}{full} is not a setting{hint(full, siblings(full), known)}")
        if isinstance(inner, FileMapping):
            _check_section(full, inner, value.where[key])
        else:
            check_value(inner, full, value.where[key])


def _check_defaults(value: Any, at: str) -> None:
    if not isinstance(value, FileList):
        raise UserError(f"{at}defaults is not a list: expected {DEFAULTS}")
    given: set[str] = set()
    for entry, line in zip(value, value.where, strict=True):
        key = entry if isinstance(entry, str) else next(iter(entry), "") if isinstance(entry, FileMapping) else ""
        if key in given:
            raise UserError(f"{line}{key} is given twice among defaults")
        given.add(key)
        if entry == "_self_":
            continue
        if not isinstance(entry, FileMapping) or len(entry) != 1:
            raise UserError(f"{line}{entry!r:.80} is not accepted among defaults: expected {DEFAULTS}")
        (key, option), accepted = next(iter(entry.items())), [f"override /{g}" for g in (*sections(), "hydra/launcher")]
        if key not in accepted:
            raise UserError(f"{line}{key} is not accepted among defaults{hint(key, accepted)}")
        group = key.removeprefix("override /")
        _check_choice(group, option, line)
        _check_option(group, option)


def _check_choices(grid: Mapping[str, Any]) -> None:
    for key, value in grid.items():
        if key in groups():
            for option in value if isinstance(value, list) else [value]:
                if not isinstance(option, str) or re.fullmatch(r"[\w.-]+", option):  # else Hydra's syntax of sweeps
                    _check_choice(key, option, where(grid, key))
                    _check_option(key, option)


def _check_choice(group: str, option: Any, at: str) -> None:
    accepted = options(group)
    if option not in accepted:
        raise UserError(f"{at}{group}: {option} is unknown{hint(str(option), accepted)}")


def _check_hydra(value: Any, at: str, accepted: Sequence[str]) -> None:
    launchers = {name: kind for options in LAUNCHERS.values() for name, kind in type_hints(options).items()}  # type: ignore[arg-type]
    hints: dict[str, dict[str, Any]] = {"launcher": launchers, "sweeper": {"params": None, "grids": None}}
    if not isinstance(value, FileMapping):
        raise UserError(f"{at}hydra holds {value!r:.80}: expected {' or '.join(accepted)}")
    for key, inner in value.items():
        if key not in accepted:
            names = " and ".join(f"hydra.{name}" for name in accepted)
            raise UserError(f"{value.where[key]}hydra.{key} is fixed, or belongs to a sweep's file (accepted: {names})")
        if key == "sweeper" and inner is None:
            raise UserError(f"{value.where[key]}the sweep declares no grids: expected hydra.sweeper.grids, {EXAMPLE}")
        if not isinstance(inner, FileMapping):
            raise UserError(f"{value.where[key]}hydra.{key} holds {inner!r:.80}: expected a mapping of its keys")
        accepted_here = hints[key]
        for name, given in inner.items():
            at = inner.where[name]
            if name not in accepted_here:
                raise UserError(f"{at}hydra.{key}.{name} is not accepted{hint(name, list(accepted_here))}")
            if accepted_here[name] is not None and "${" not in str(given):
                checked(given, accepted_here[name], f"{at}hydra.{key}.{name}")
