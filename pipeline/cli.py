"""The command line around Hydra: what it accepts in silence is refused, and its errors become one line."""

import difflib
import importlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from pipeline.errors import Interrupted, UserError
from pipeline.own_conf import check_choices
from pipeline.places import CONF, CONF_FOLDERS, PACKAGE, check_working_directory, door


def announce_plugins() -> None:
    """Let Hydra find pipeline/hydra_plugins as part of the namespace package `hydra_plugins`, wherever we start."""
    try:
        package: ModuleType = importlib.import_module("hydra_plugins")
    except ModuleNotFoundError:
        spec = importlib.machinery.ModuleSpec("hydra_plugins", None, is_package=True)
        package = importlib.util.module_from_spec(spec)
        sys.modules["hydra_plugins"] = package
    folder = str(PACKAGE / "hydra_plugins")
    if folder not in list(package.__path__):
        package.__path__.append(folder)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn a user's mistake into one line on stderr and exit code 2, and Ctrl-C into exit code 130."""
    try:
        check_working_directory()
        yield
    except Interrupted:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise SystemExit(130) from None
    except KeyboardInterrupt:
        print("stopped at once: work since the last checkpoints is lost", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2) from None


def check_arguments(arguments: list[str]) -> None:
    """Refuse what Hydra takes without a word and does not do: a doubled key, several sweeps, a sweep without -m."""
    overrides = [a for a in arguments if re.match(r"[+~]{0,2}[\w/.@]+=", a)]
    keys = [re.sub(r"^[+~]*", "", override.split("=", 1)[0]) for override in overrides]
    for key in keys:
        if keys.count(key) > 1:
            given = ", ".join(o for o in overrides if re.sub(r"^[+~]*", "", o).startswith(f"{key}="))
            raise UserError(f"{key} is given {keys.count(key)} times ({given}): give it once")
    check_choices(overrides)
    sweep = next((o.split("=", 1)[1] for o in overrides if o.startswith("sweep=")), None)
    if sweep is None or {"--cfg", "-c", "--info", "-i", "--help", "-h"} & set(arguments):
        return
    if "," in sweep:
        raise UserError(f"sweep={sweep} names several sweeps: start one after the other, as -m sweep=NAME")
    if not {"-m", "--multirun"} & set(arguments):
        raise UserError(f"sweep={sweep} declares many runs and needs -m: {door('run')} -m sweep={sweep}")


def explain(error: BaseException) -> str | None:
    """What a person should read instead of a traceback; None for what is no user's mistake."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read; quote a value that holds one of {{}}[](),=: 'key=\"value\"'"
    if isinstance(error, MissingConfigException) or "Could not find" in str(error):
        return _missing_option(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _wrong_key(error)
    return None


def _missing_option(error: BaseException) -> str:
    """`site=foo` where conf/site has no foo."""
    missing = re.search(r"Could not find '([\w/.]+)'", str(error))
    if missing is None:
        return str(error).splitlines()[0]
    group, _, option = missing.group(1).rpartition("/")
    options = sorted({p.stem for folder in CONF_FOLDERS for p in (folder / group).glob("*.yaml")})
    if group == "hydra/launcher":
        options = sorted({*options, "local", "slurm"})  # these two are code
    if not options:
        return f"{group} is no group of conf/"
    return f"{group}={option} is unknown{_did_you_mean(option, options)} (accepted: {', '.join(options)})"


def _wrong_key(error: BaseException) -> str:
    text = " ".join(str(error).split())
    cause = " ".join(str(error.__cause__).split()) if error.__cause__ else ""
    unknown = re.search(r"Could not override '([\w/.@]+)'", text)
    if unknown is None:
        what, _, where = (cause or text).partition(" full_key: ")
        return f"{where.split()[0]}: {what}" if where else what
    key = unknown.group(1)
    if key.startswith("hydra.launcher."):
        return _wrong_launcher_key(key, cause)
    if "not in struct" not in cause and "No match" not in text and cause:
        return f"{key}: {cause.split(' full_key:')[0]}"
    keys = _known_keys()
    section = key.rpartition(".")[0]
    siblings = [k for k in keys if k.rpartition(".")[0] == section] if section else [k for k in keys if "." not in k]
    accepted = f" (accepted: {', '.join(siblings)})" if siblings else ""
    return f"{key} is no setting{_did_you_mean(key, keys)}{accepted}"


def _wrong_launcher_key(key: str, cause: str) -> str:
    from dataclasses import fields

    from pipeline.launching.options import LocalOptions, SlurmOptions

    launcher = re.search(r"not in '(Local|Slurm)LauncherConf'", cause)
    if launcher is None:
        return f"{key}: {cause.split(' full_key:')[0]}"
    kind = launcher.group(1)
    names = [field.name for field in fields(SlurmOptions if kind == "Slurm" else LocalOptions)]
    near = _did_you_mean(key.rpartition(".")[2], names)
    return f"{key} is no option of hydra/launcher={kind.lower()}{near} (accepted: {', '.join(names)})"


def _did_you_mean(wrong: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _known_keys() -> list[str]:
    """Every key of the default configuration, in full, and the groups."""
    from omegaconf import OmegaConf

    keys = [p.name for p in CONF.iterdir() if p.is_dir()]
    files = [CONF / "config.yaml", *(CONF.glob("*/*.yaml"))]
    for file in files:
        group = "" if file.parent == CONF else f"{file.parent.name}."
        if group not in {"sweep.", "hydra."}:
            keys += [group + key for key in _flat(OmegaConf.to_container(OmegaConf.load(file)))]
    return sorted({key for key in keys if key.rpartition(".")[2] != "defaults"})


def _flat(tree: object, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return []
    return [k for name, node in tree.items() for k in (f"{prefix}{name}", *_flat(node, f"{prefix}{name}."))]
