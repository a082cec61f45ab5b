"""run.py's arguments, checked before Hydra reads them: what it takes in silence, or refuses in its own words.

Hydra's options are accepted from a short list, and so are its own settings: the others write files elsewhere, read
other configurations, or do nothing here.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.cli.groups import groups, options, setting_hints, setting_keys
from pipeline.config.checked import accepted
from pipeline.config.hints import hint
from pipeline.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

FLAGS = {
    "--multirun": "-m", "--help": "-h", "--cfg": "-c", "--package": "-p", "--resolve": "", "--info": "-i",
    "--hydra-help": "", "--version": "", "--shell-completion": "-sc",
}  # fmt: skip
"""Hydra's options that are accepted, and their short forms."""
VALUES = {
    "--cfg": ("job", "hydra", "all"),
    "--package": (),
    "--info": ("defaults", "defaults-tree", "config", "plugins"),
}
"""What follows an option; anything where nothing is listed."""
SHOWS = {"--cfg", "--info", "--help", "--hydra-help", "--version"}
"""Options that print something and train nothing."""
PER_LAUNCH = {"sweep", "sweep_name", "plan", "extend", "execution", "tracker", "eval"}
"""Keys, and sections, that have one value for all runs of a launch; and so has all of `hydra`."""
HYDRAS = "hydra/launcher=NAME, hydra.launcher.OPTION=VALUE and hydra.sweeper.grids=[...]"
KEY = re.compile(r"(\+{0,2})([A-Za-z_][\w-]*(?:[./][\w-]+)*)=(.*)", re.DOTALL)


@dataclass
class CommandLine:
    """Options, with their values behind them, and overrides (`key=value`) as they were given."""

    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)

    @property
    def multirun(self) -> bool:
        return "--multirun" in self.flags

    @property
    def shows(self) -> bool:
        return bool(SHOWS & set(self.flags))


def check_command_line(arguments: Sequence[str], command: str) -> list[str]:
    """The arguments in an order that Hydra accepts: options stand first.

    Args:
        command: what the user typed before them.

    Raises:
        UserError: Hydra would not take them, or not do what they say.
    """
    if {"-sc", "--shell-completion"} & set(arguments):
        return list(arguments)
    line = _split(arguments)
    given: dict[str, str] = {}
    for text in line.overrides:
        key = _key(text)
        if key in given:
            raise UserError(f"{key} is given twice ({given[key]}, {text}): give it once")
        given[key] = text
        _check_override(key, text, line, shlex.join([*shlex.split(command), "-m", *line.overrides]))
    return ["-m" if flag == "--multirun" else flag for flag in (*line.flags, *line.overrides)]


def _split(arguments: Sequence[str]) -> CommandLine:
    line, left = CommandLine(), list(arguments)
    long = {short: name for name, short in FLAGS.items() if short}
    while left:
        argument = left.pop(0)
        if not argument.startswith("-"):
            line.overrides.append(argument)
            continue
        given, equals, value = argument.partition("=")
        name = long.get(given, given)
        if name not in FLAGS or (equals and name not in VALUES):
            accepted = ", ".join(f"{name} {short}".strip() for name, short in FLAGS.items())
            raise UserError(f"{given} is not an option (accepted: {accepted})")
        values = [value] if equals else []
        if (
            name in VALUES
            and not equals
            and left
            and (left[0] in VALUES[name] or (name == "--package" and "=" not in left[0]))
        ):
            values = [left.pop(0)]
        _check_flag(name, values)
        if name not in line.flags:
            line.flags += [name, *values]
    if line.multirun and line.shows:
        raise UserError("--multirun trains; --cfg, --info and --help only show: leave one of them out")
    lone = next((flag for flag in ("--resolve", "--package") if flag in line.flags and "--cfg" not in line.flags), None)
    if lone:
        raise UserError(f"{lone} needs --cfg, as --cfg job --resolve or --cfg hydra --package hydra.launcher")
    return line


def _check_flag(name: str, values: list[str]) -> None:
    accepted = VALUES.get(name, ())
    if name in VALUES and ((values and accepted and values[0] not in accepted) or not values):
        what = f"one of {', '.join(accepted)}" if accepted else "a part of the configuration, as train"
        raise UserError(f"{name} {' '.join(values)}".strip() + f": expected {what} after {name}")


def _key(text: str) -> str:
    """The key of an override, without Hydra's signs before it."""
    matched = KEY.fullmatch(text)
    if matched:
        return matched.group(2)
    word = text.strip()
    if word.startswith("~"):
        raise UserError(f"{word} removes a setting, but a run needs every setting: give it a value instead")
    if "@" in word.partition("=")[0]:
        raise UserError(f"{word} moves a group elsewhere (@), which is not accepted: write GROUP=OPTION")
    if "=" in word:
        raise UserError(f"{word} has no key: expected KEY=VALUE, as seed=1")
    if word in {*groups(), *setting_keys()}:
        hints = setting_hints()
        takes = ", ".join(options(word)) or accepted(hints.get(word, Any))
        raise UserError(f"{word} has no value: expected {word}=VALUE (accepted: {takes})")
    found = [group for group in groups() if word in options(group)]
    expected = f"{found[0]}={word}" if found else "KEY=VALUE, as seed=1"
    raise UserError(f"{word or 'an empty argument'} is not a setting: expected {expected}")


def _check_override(key: str, text: str, line: CommandLine, with_m: str) -> None:
    override = _parse(text)
    if key == "local":
        raise UserError(f"{text} cannot be chosen: conf/local/default.yaml is read whenever it exists")
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        _check_hydras(key, text, line)
    varied = override.is_sweep_override()
    if key == "sweep":
        _check_sweep(text, None if varied else override.value(), line, with_m)
    elif varied and is_per_launch(key):
        raise UserError(
            f"{text}: all runs of a launch have the same {key}: give one value, or run the command once per value"
        )
    elif varied and not line.multirun:
        where = "" if line.shows else f": {with_m}"
        raise UserError(f"{text} holds several values: a grid needs -m{where} (a list needs brackets: {key}=[1,2])")
    elif text.startswith("+") and key in groups():
        raise UserError(f"{text}: every run has one {key} already: leave out the {text.partition(key)[0]}")
    elif not varied and (key in groups() or key == "hydra/launcher" or "/" in key):
        _check_option(key, text, override.value())


def _parse(text: str) -> "Override":
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        key, _, value = text.partition("=")
        quoted = f"'{key}=\"{value}\"'"
        signs = "{}[](),=:"
        raise UserError(
            f"{text} cannot be read: quote a value that holds any of {signs} or a letter beyond a-z, as in {quoted}"
        ) from error


def is_per_launch(key: str) -> bool:
    return key.partition(".")[0].partition("/")[0] in {*PER_LAUNCH, "hydra"}


def _check_hydras(key: str, text: str, line: CommandLine) -> None:
    launchers = key == "hydra/launcher" or re.fullmatch(r"hydra\.launcher\.[A-Za-z].*", key)
    if not launchers and key != "hydra.sweeper.grids":
        raise UserError(
            f"{text} is a setting of Hydra's that is fixed here: runs name their own folders (accepted: {HYDRAS})"
        )
    if not line.multirun and not line.shows:
        raise UserError(f"{text} needs -m, since it is about a sweep's processes: as in -m {text} sweep=smoke")


def _check_sweep(text: str, value: object, line: CommandLine, with_m: str) -> None:
    if not isinstance(value, str):
        raise UserError(f"{text} names several sweeps, or none: start one sweep per command, as -m sweep=NAME")
    _check_option("sweep", text, value)
    if not line.multirun and not line.shows:
        raise UserError(f"{text} declares many runs and needs -m: {with_m}")


def _check_option(group: str, text: str, value: object) -> None:
    """`site=mlp_out`: the group has such an option. A dictionary replaces single keys, which is for later checks."""
    accepted = options(group)
    if group not in {*groups(), "hydra/launcher"}:
        raise UserError(f"{group} is not a group of conf/{hint(group, groups())}")
    if isinstance(value, dict) or value in accepted:
        return
    if value == "":
        raise UserError(f"{text} has no value (accepted: {', '.join(accepted)})")
    raise UserError(f"{text} is unknown{hint(str(value), accepted)}")
