"""What people read instead of a traceback: Hydra's and OmegaConf's errors, and the disk's, in one line each."""

import re
from dataclasses import fields

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from pipeline.cli.groups import groups, options, setting_keys
from pipeline.config.hints import did_you_mean, hint
from pipeline.config.launcher import LocalOptions, SlurmOptions
from pipeline.errors import UserError, disk_error

COMPOSING = ("hydra", "omegaconf", "yaml", "antlr4")
"""Packages that an error comes from when the configuration is what is wrong."""


def explain(error: BaseException) -> str | None:
    """One line; None for what is no user's mistake."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read; quote a value that holds one of {{}}[](),=: 'key=\"value\"'"
    if isinstance(error, MissingConfigException) or "Could not find" in str(error):
        return _missing_option(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}" if mark else str(error.problem)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _wrong_key(error)
    if isinstance(error, OSError):
        return disk_error(error)
    if _raised_in(error) in COMPOSING:
        return f"the configuration cannot be composed: {_joined(error) or type(error).__name__}"
    return None


def _raised_in(error: BaseException) -> str | None:
    """The package whose code raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""
    return name.partition(".")[0]


def _joined(error: BaseException) -> str:
    return " ".join(str(error).split())


def _missing_option(error: BaseException) -> str:
    """`site=foo` where conf/site has no foo."""
    missing = re.search(r"Could not find '([\w/.]+)'", str(error))
    if missing is None:
        return str(error).splitlines()[0]
    group, _, option = missing.group(1).rpartition("/")
    accepted = options(group)
    if not accepted:
        return f"{group} is not a group of conf/{hint(group, groups())}"
    return f"{group}={option} is unknown{hint(option, accepted)}"


def _wrong_key(error: BaseException) -> str:
    text, cause = _joined(error), _joined(error.__cause__) if error.__cause__ else ""
    unknown = re.search(r"Could not override '([\w/.@-]+)'", text)
    if unknown is None:
        what, _, where = (cause or text).partition(" full_key: ")
        return f"{where.split()[0]}: {what}" if where else what
    key = unknown.group(1)
    if key.startswith("hydra.launcher."):
        return _wrong_launcher_key(key, cause)
    if "not in struct" not in cause and "No match" not in text and cause:
        return f"{key}: {cause.split(' full_key:')[0]}"
    keys, section = [*groups(), *setting_keys()], key.rpartition(".")[0]
    if key in keys:  # known, and in none of the chosen files: `model.hub_id` with model=local
        group = section.partition(".")[0]
        return f"{key} is not a setting of the {group} chosen here: choose another {group}, or add it as +{key}=VALUE"
    near = did_you_mean(key, keys)
    siblings = list(dict.fromkeys(k for k in keys if k.rpartition(".")[0] == section))
    accepted = f" (accepted: {', '.join(siblings)})" if siblings else ""
    return f"{key} is not a setting{f'; {near}'.rstrip() if near else ''}{accepted}"


def _wrong_launcher_key(key: str, cause: str) -> str:
    launcher = re.search(r"not in '(Local|Slurm)LauncherConf'", cause)
    if launcher is None:
        return f"{key}: {cause.split(' full_key:')[0]}"
    kind = launcher.group(1)
    names = [field.name for field in fields(SlurmOptions if kind == "Slurm" else LocalOptions)]
    return f"{key} is not an option of hydra/launcher={kind.lower()}{hint(key.rpartition('.')[2], names)}"
