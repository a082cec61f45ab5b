"""Entry point: the state of a sweep, from disk and one call to Slurm. `--help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.options import command, folder, option, parse, seconds, true_or_false, usage
from pipeline.monitoring.sweep_status import report, watch
from pipeline.storage.places import SWEEPS

ABOUT = """
Counts the runs of each sweep on disk, or of one sweep, that are done, running, waiting, failed and missing. Lists each
running run's progress and host, and why others failed or are waiting. Reads the records on disk and asks Slurm once, if
there is one. Changes nothing."""
VERIFY = "read every file and compare its checksum; the exit code is 1 if one differs"


@dataclass(frozen=True)
class Options:
    sweep: str | None = option("NAME", "one sweep only")
    watch: float | None = option("SECONDS", "repeat every so many seconds, until Ctrl-C", seconds)
    verify: bool = option("true", VERIFY, true_or_false, default=False)
    sweeps_dir: Path = option("FOLDER", f"where runs leave their records (default {SWEEPS})", folder, default=SWEEPS)


USAGE = usage("status", ABOUT, Options)


def run(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments)
    chosen = (options.sweeps_dir, options.sweep, options.verify)
    return report(*chosen) if options.watch is None else watch(*chosen, options.watch)


def main(arguments: Sequence[str] | None = None) -> int:
    return command(run, USAGE, arguments)


if __name__ == "__main__":
    sys.exit(main())
