"""A run's progress, and how it is shown: as a table on a terminal, as lines in a log."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.monitoring.naming import LEAST, short_names
from pipeline.runtime.durations import clock

PHASES = ("loading", "activations", "training", "evaluating")
"""Phases of a pack, in order; activations and training alternate."""
ROWS_SHOWN = 20
COLUMNS = ("run", "phase", "step", "L0", "loss", "tokens/s", "ETA")
DROPPED_FIRST = ("tokens/s", "loss", "L0")
"""Columns that are dropped, in this order, where a terminal is too narrow."""
GAP = 2


@dataclass
class RunProgress:
    """The progress of one run."""

    steps: int
    batch: int
    state: str = "waiting"  # a phase, or waiting, done, failed
    step: int = 0
    share: float = 0.0  # of its evaluation
    l0: float | None = None
    loss: float | None = None
    begun: tuple[float, int] | None = None  # when training began in this process, and at which step
    advanced: float = 0.0  # when it took its last step
    phase_begun: float = 0.0
    pack: tuple[str, ...] = ()
    folder: Path | None = None  # where this process writes progress.json
    reported: dict[str, Any] | None = None  # by another process, in its progress.json

    @property
    def is_active(self) -> bool:
        return self.state in PHASES


def summary(runs: Sequence[RunProgress], eta: float | None) -> str:
    """12/30 runs recorded, 1 failed | 8 training, 9 waiting | 63 % of all steps | training ends in 5 min 10 s"""
    counts = Counter(run.state for run in runs)
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    open_ = [f"{count} {state}" for state, count in counts.items() if state not in {"done", "failed"}]
    parts = [f"{counts['done']}/{len(runs)} runs recorded{failed}", *([", ".join(open_)] if open_ else [])]
    tried = [run for run in runs if run.state != "failed"]
    trained, total = sum(run.step for run in tried), sum(run.steps for run in tried)
    if trained < total:
        ends = [] if eta is None else [f"training ends in {clock(eta)}"]
        parts += [f"{100 * trained // total} % of all steps", *ends]
    elif open_:
        parts += ["all steps are done", "evaluation" + (" goes on" if eta is None else f" ends in {clock(eta)}")]
    return " | ".join(parts)


def row(report: Mapping[str, Any]) -> tuple[str, ...]:
    """All columns except the run's name."""
    phase = report["phase"]
    if phase == "evaluating":
        phase = f"evaluating {100 * report['share']:.0f} %"
    l0 = "" if report["l0"] is None else f"{report['l0']:.1f}"
    loss = "" if report["loss"] is None else f"{report['loss']:.4g}"
    speed = f"{report['tokens_per_second']:,.0f}" if report["tokens_per_second"] else ""
    return phase, f"{report['step']:,}/{report['steps']:,}", l0, loss, speed, eta(report)


def eta(report: Mapping[str, Any]) -> str:
    return "" if report["eta_seconds"] is None else clock(report["eta_seconds"])


def lines(working: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line per run, and the number of runs that are not shown."""
    for name, report in list(working.items())[:ROWS_SHOWN]:
        phase, step, l0, loss, _, left = row(report)
        values = [f"{word} {value}" for word, value in (("step", step), ("L0", l0), ("loss", loss)) if value]
        yield f"{name} {phase}: {' '.join([*values, *([f'ETA {left}'] if left else [])])}"
    if len(working) > ROWS_SHOWN:
        yield f"and {len(working) - ROWS_SHOWN} more"


def table(title: str, working: Mapping[str, Mapping[str, Any]], width: int) -> Group:
    """A table as wide as the terminal: names are shortened, numbers are not."""
    rows = {
        name: dict(zip(COLUMNS[1:], row(report), strict=True)) for name, report in list(working.items())[:ROWS_SHOWN]
    }
    columns = list(COLUMNS[1:])
    widths = {column: max(len(column), *(len(each[column]) for each in rows.values()), 0) for column in columns}
    for dropped in DROPPED_FIRST:
        if sum(widths[column] + GAP for column in columns) + LEAST > width:
            columns.remove(dropped)
    names = short_names(list(rows), max(LEAST, width - sum(widths[column] + GAP for column in columns)))
    shown = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    shown.add_column("run", no_wrap=True)
    for column in columns:
        shown.add_column(column, justify="left" if column == "phase" else "right", no_wrap=True)
    for name, values in rows.items():
        shown.add_row(names[name], *(values[column] for column in columns))
    if len(working) > ROWS_SHOWN:
        shown.add_row(f"and {len(working) - ROWS_SHOWN} more")
    return Group(Text(title), shown) if working else Group(Text(title))
