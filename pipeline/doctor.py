"""Entry point: what to change before the first night is lost. `python pipeline/doctor.py --help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.options import command, option, parse, path, seconds, true_or_false, usage
from pipeline.diagnosis.examine import diagnose
from pipeline.storage.places import SWEEPS

ABOUT = """
Reads the settings of the Slurm cluster and of this machine, and runs a job of a few seconds on a node. Each check
prints one line: what it found, why it matters, what to do. Exit code 0: no problem; 1: a problem; 2: it could not look.
"""
PARTITION = "the partition that sweeps will use (default: the cluster's default)"


@dataclass(frozen=True)
class Options:
    partition: str | None = option("NAME", PARTITION)
    probe: bool = option("false", "submit no job; only read settings", true_or_false, default=True)
    probe_seconds: float = option("SECONDS", "how long to wait for that job (default 120)", seconds, default=120.0)
    sweeps_dir: Path = option("FOLDER", f"where runs leave their records (default {SWEEPS})", path, default=SWEEPS)


USAGE = usage("doctor", ABOUT, Options)


def run(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments)
    return diagnose(options.partition, options.sweeps_dir, options.probe, options.probe_seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    return command(run, USAGE, arguments)


if __name__ == "__main__":
    sys.exit(main())
