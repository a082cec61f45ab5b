"""The table that a command ends with: every run it was asked for, and what came of it."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from pipeline import record
from pipeline.config import RunConfig
from pipeline.console import console
from pipeline.identity import evaluation_identity

COLUMNS = ("site", "layer", "architecture", "lambda", "seed", "L0", "loss recovered", "gamma", "alive", "status")


def print_results(sweeps_dir: Path, runs: Sequence[RunConfig]) -> bool:
    """Print one row a run; returns whether every run has a record."""
    table = Table(box=None)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in {"site", "architecture", "status"} else "right")
    complete = True
    for run in sorted(runs, key=lambda r: (r.site.name, r.layer, r.architecture.name, r.sparsity_coefficient, r.seed)):
        values = _values(record.run_folder(sweeps_dir, run), run)
        complete &= values[-1] == "done"
        setting = (run.site.name, str(run.layer), run.architecture.name, f"{run.sparsity_coefficient:g}", str(run.seed))
        table.add_row(*setting, *values)
    console().print(table)
    return complete


def _values(folder: Path, run: RunConfig) -> tuple[str, ...]:
    found = record.read_record(folder, evaluation_identity(run))
    if found is not None:
        m = found["metrics"]
        numbers = (f"{m['l0']:.1f}", f"{m['loss_recovered']:.4f}", f"{m['gamma']:.3f}", f"{m['alive_fraction']:.1%}")
        return (*numbers, "done")
    failure = record.read_json(folder / record.FAILURE)
    return ("", "", "", "", f"failed: {failure['reason']}" if failure else "missing")
