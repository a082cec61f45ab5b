"""Where everything is, in a checkout and as an installed package. Imports nothing slow.

A checkout (`python pipeline/run.py`, or an editable install) has pyproject.toml and conf/ next to the package: its
conf/, sweeps/ and results/ are used, wherever the command is typed. An installed package has a conf/ of its own; a
user's conf/, sweeps/ and results/ are in the working directory.
"""

import os
import sys
from pathlib import Path

from pipeline.errors import UserError

PACKAGE = Path(__file__).resolve().parent.parent
CHECKOUT = (PACKAGE.parent / "pyproject.toml").is_file() and (PACKAGE.parent / "conf" / "config.yaml").is_file()


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


BASE = PACKAGE.parent if CHECKOUT else _working_directory() or Path()
SWEEPS, RESULTS = BASE / "sweeps", BASE / "results"
"""The defaults of `execution.sweeps_dir`, `sweeps_dir` and `results_dir`."""
CONF = BASE / "conf" if CHECKOUT else PACKAGE / "conf"
"""The configuration that comes with the code; it has config.yaml."""
CONF_FOLDERS = (CONF,) if CHECKOUT else (CONF, BASE / "conf")
"""Folders that Hydra searches, in this order: what the first has, the second does not replace. The second, a user's own
(`conf/sweep/mine.yaml`, `conf/local/default.yaml`), need not exist."""
USER_FIGURES = (_working_directory() or Path()) / "figures"
"""A user's own figures, figure_*.py; it need not exist."""
PAPER_TABLE = (PACKAGE / "gated_paper_tables.csv").resolve()
"""The points that the paper published: docs/gated_paper_tables.csv, to which the package has a link."""


def check_working_directory() -> None:
    """Raises UserError where it has been deleted: Hydra, and relative paths, need it."""
    if _working_directory() is None:
        raise UserError("the working directory does not exist any more: change to one that does")


def door(name: str) -> str:
    """How a user types a command: `run` is `python pipeline/run.py`, or `sae-run` where it is installed."""
    if CHECKOUT and not Path(sys.argv[0]).name.startswith("sae-"):
        return f"python pipeline/{name}.py"
    return f"sae-{name.removesuffix('_pareto')}"


def python_path() -> dict[str, str]:
    """What the environment of a process of ours needs so that it finds this package, and no other of its name.

    PYTHONSAFEPATH keeps a `pipeline/` in the working directory from being taken for it.
    """
    before = [str(BASE)] if CHECKOUT else []  # an installed package is found as it was here
    path = os.pathsep.join([*before, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONSAFEPATH": "1"} | ({"PYTHONPATH": path} if path else {})
