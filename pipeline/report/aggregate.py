"""Results of every chosen sweep. A fault in one does not stop the others."""

import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.records.status import one_sweep, sweeps_on_disk
from pipeline.report.options import Options
from pipeline.storage.files import write_text
from pipeline.storage.places import CHECKOUT, door


def plot(options: Options) -> int:
    """Write the results of what `options` choose, and print where they are.

    Returns:
        The exit code: 0, 1 where no sweep is on disk, 2 after a user's mistake, 3 after a fault of this program.
    """
    # before matplotlib is imported: where its cache cannot be kept is not worth two lines
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from pipeline.report.results import aggregate, aggregate_source  # after the arguments' mistakes: takes a second

    if not CHECKOUT:
        print(f"results go to {options.results_dir}")
    if options.source is not None:
        _print_paths(aggregate_source(options, options.source))
        return 0
    sweeps = chosen_sweeps(options)
    if not sweeps:
        print(f"no sweep on disk: {options.sweeps_dir} has no manifest; {door('run')} makes one", file=sys.stderr)
        return 1
    paths, code = list[Path](), 0
    for sweep in sweeps:
        try:
            paths += aggregate(options, sweep)
        except UserError as error:  # of this sweep: the others go on
            print(f"error: {sweep}: {error}" if len(sweeps) > 1 else f"error: {error}", file=sys.stderr)
            code = 2
        except Exception as error:  # a fault of ours, in this sweep: the others go on
            _report_fault(options.results_dir / sweep, sweep, error)
            code = 3
    _print_paths(paths)
    return code


def chosen_sweeps(options: Options) -> list[str]:
    """The sweeps to aggregate; none where there is none on disk."""
    on_disk = sweeps_on_disk(options.sweeps_dir)
    return on_disk if options.sweep is None else [one_sweep(options.sweep, on_disk)]


def _report_fault(results: Path, sweep: str, error: Exception) -> None:
    """One line, and the traceback in a file."""
    path = results / "faults.txt"
    write_text(path, "".join(traceback.format_exception(error)))
    print(f"error: {sweep}: a fault of this program ({type(error).__name__}: {error}): {path} has it", file=sys.stderr)


def _print_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        print(path)
