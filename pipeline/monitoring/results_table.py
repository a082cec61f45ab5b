"""The table at the end of a launch: every run with its result."""

import math
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from pipeline.config.schema import RunConfig
from pipeline.records.columns import FORMS, heading
from pipeline.records.sweep import OnDisk
from pipeline.runtime.console import console

LAMBDA = "sparsity_coefficient"
MEASURED = ("l0", "loss_recovered", "gamma", "alive_fraction")
WORDS = {"site", "architecture", "status"}


def print_results(runs: Mapping[RunConfig, OnDisk]) -> bool:
    """Print one row per run; returns whether every run has a record."""
    table, axes = Table(box=None), sorted({run.axis for run in runs}, key=lambda axis: (axis != LAMBDA, axis))
    for column in ("site", "layer", "architecture", *axes, "seed", *MEASURED, "status"):
        table.add_column(heading(column), justify="left" if column in WORDS else "right")
    for run in sorted(runs, key=lambda r: (r.site.name, r.layer, r.architecture.name, r.axis, r.axis_value, r.seed)):
        values = _values(runs[run])
        along = (f"{run.axis_value:g}" if run.axis == axis else "" for axis in axes)
        setting = (run.site.name, str(run.layer), run.architecture.name, *along, str(run.seed))
        table.add_row(*map(Text, (*setting, *values)))  # Text: names may look like rich's markup
    console().print(table)
    return all(found.status == "done" for found in runs.values())


def _values(found: OnDisk) -> tuple[str, ...]:
    if found.metrics is not None:
        return (*(_cell(name, found.metrics[name]) for name in MEASURED), "done")
    return (*[""] * len(MEASURED), f"failed: {found.failure['reason']}" if found.failure else "missing")


def _cell(name: str, value: float | None) -> str:
    """A number as text; empty where it is unknown, for example gamma where no feature fires."""
    return "" if value is None or math.isnan(value) else FORMS[name].format(value)
