"""Entry point: records on disk to tables and figures. `python pipeline/plot_pareto.py --help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

# One thread: the same sums on every machine, no waiting where the cores are busy. NumPy reads it once.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Sequence

from pipeline.cli.options import command
from pipeline.report.aggregate import plot
from pipeline.report.options import USAGE, parse


def main(arguments: Sequence[str] | None = None) -> int:
    return command(lambda given: plot(parse(given)), USAGE, arguments)


if __name__ == "__main__":
    sys.exit(main())
