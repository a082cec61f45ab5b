"""The doors of run.py and prefetch.py: Hydra's plugins are announced, and errors become one line."""

import importlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pipeline.cli.command_line import check_command_line
from pipeline.errors import Interrupted
from pipeline.storage.places import PACKAGE, check_working_directory, door


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
        print("stopped; the same command continues from here", file=sys.stderr)
        raise SystemExit(130) from None
    except KeyboardInterrupt:
        print("stopped at once; work since the last checkpoints is lost", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        from pipeline.cli.explain import explain  # imports Hydra

        message = explain(error)
        if message is None:
            raise
        print(f"error: {''.join(c if c.isprintable() else ' ' for c in message)}", file=sys.stderr)
        raise SystemExit(2) from None


def with_homes(arguments: list[str]) -> list[str]:
    """`data.path=~/text` with the home folder's path: no shell replaces a ~ there, and Hydra cannot read it."""
    return [re.sub(r"^([\w./@+]+=)~(?=/|$)", lambda key: f"{key[1]}{Path.home()}", each) for each in arguments]


def fetch_overrides(arguments: list[str]) -> list[str]:
    """What prefetch.py hands to run.py: all but -m and a launcher, which it gives itself.

    Several values need -m here as in run.py, so that the same command line means the same runs.
    """
    launchers = ("hydra/launcher", "hydra.launcher")
    kept = [each for each in arguments if each not in {"-m", "--multirun"} and not each.startswith(launchers)]
    if kept == arguments and not any(each.startswith("sweep=") for each in arguments):
        with plain_errors():
            check_command_line(with_homes(arguments), door("prefetch"))
    return kept
