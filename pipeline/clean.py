"""Entry point: what on disk is no longer needed. `python pipeline/clean.py --help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.options import command, folder, one_of, option, parse, seconds, true_or_false, usage
from pipeline.records.garbage import KINDS, YOUNG_SECONDS, clean
from pipeline.storage.places import SWEEPS

ABOUT = """
Lists what could be deleted, with sizes. Deletes nothing without delete=true. Runs in training are left alone. So are
folders that no sweep declares and half-written files until an hour after their last change: a command that has just
started may be about to declare or rename them.

  unwanted      folders of runs that no sweep on disk declares (single runs are declared by the sweep adhoc); folders
                that hold no run are left alone
  old           folders of runs of another training_version (once numerics_version), which no command continues
  checkpoints   of runs that have their record
  temporary     what killed processes left half-written"""


@dataclass(frozen=True)
class Options:
    only: str | None = option("KIND", "one of these only", one_of(KINDS))
    delete: bool = option("true", "delete what is listed", true_or_false, default=False)
    older_than: float = option(
        "SECONDS", "how long to wait instead of that hour (default 3600)", seconds, default=YOUNG_SECONDS
    )
    sweeps_dir: Path = option("FOLDER", f"where runs leave their records (default {SWEEPS})", folder, default=SWEEPS)


USAGE = usage("clean", ABOUT, Options)


def run(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments)
    clean(options.sweeps_dir, options.only, options.delete, options.older_than)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    return command(run, USAGE, arguments)


if __name__ == "__main__":
    sys.exit(main())
