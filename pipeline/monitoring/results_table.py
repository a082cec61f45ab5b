"""The table that a command ends with: every run it was asked for, and what came of it."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from pipeline.config.schema import RunConfig
from pipeline.records import record
from pipeline.records.columns import FORMS, heading
from pipeline.records.finished import finished, read_failure
from pipeline.records.identity import evaluation_identity
from pipeline.runtime.console import console

SETTINGS = ("site", "layer", "architecture", "sparsity_coefficient", "seed")
MEASURED = ("l0", "loss_recovered", "gamma", "alive_fraction")
WORDS = {"site", "architecture", "status"}


def print_results(sweeps_dir: Path, runs: Sequence[RunConfig]) -> bool:
    """Print one row per run; returns whether every run has a record."""
    table = Table(box=None)
    for column in (*SETTINGS, *MEASURED, "status"):
        table.add_column(heading(column), justify="left" if column in WORDS else "right")
    complete = True
    for run in sorted(runs, key=lambda r: (r.site.name, r.layer, r.architecture.name, r.sparsity_coefficient, r.seed)):
        values = _values(record.run_folder(sweeps_dir, run), run)
        complete &= values[-1] == "done"
        setting = (run.site.name, str(run.layer), run.architecture.name, f"{run.sparsity_coefficient:g}", str(run.seed))
        table.add_row(*map(Text, (*setting, *values)))  # as they are: names may hold rich's markup
    console().print(table)
    return complete


def _values(folder: Path, run: RunConfig) -> tuple[str, ...]:
    found = finished(folder, evaluation_identity(run))
    if found is not None:
        metrics = found["metrics"]
        return (*(_cell(name, metrics[name]) for name in MEASURED), "done")
    failure = read_failure(folder)
    return ("", "", "", "", f"failed: {failure['reason']}" if failure else "missing")


def _cell(name: str, value: float | None) -> str:
    """A number as text; blank where it is unknown, as gamma where no feature fires."""
    return "" if value is None or math.isnan(value) else FORMS[name].format(value)
