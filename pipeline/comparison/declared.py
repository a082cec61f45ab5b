"""What a sweep declares in a panel that is not finished: pairs without a number, points without a run."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import ARM, KEY, SETTING_PREFIXES, group_ids, mixed_settings
from pipeline.comparison.arms import Arms, Pair, by_width, fronts_of, without_points
from pipeline.records.columns import AXES

NO_RULE = "the arms match neither in width nor in training cost"


def lost(declared: pd.DataFrame, measured: Sequence[Pair], arms: Arms, fault: str = "") -> Iterator[tuple[Pair, str]]:
    """The pairs of fronts that were declared in a panel and have no number, each with the reason.

    A candidate that is declared has at least one pair there, measured or lost: a claim counts it either way.

    Args:
        declared: every run of the panel, whatever its status.
        measured: the pairs that have numbers.
        fault: why nothing could be measured; "" where that is not so.
    """
    widths = {
        str(name): sorted(int(width) for width in rows["d_sae"].dropna().unique()) or [0]
        for name, rows in declared.groupby("architecture")
    }
    done = declared[declared["status"].eq("done")]
    there = {(front.architecture, front.d_sae) for front in fronts_of(done)} if len(done) else set()
    for candidate in filter(arms.is_candidate, widths):
        known = {
            (pair.reference.d_sae, pair.candidate.d_sae)
            for pair in measured
            if pair.candidate.architecture == candidate
        }
        possible = [(one, other) for one in widths.get(arms.reference, [0]) for other in widths[candidate]]
        lacking = [pair for pair in possible if pair not in known and _names(*pair)]
        for one, other in lacking or ([] if known else possible[:1]):
            fronts = without_points(arms.reference, one), without_points(candidate, other)
            why = [_why(declared, *arm) for arm in ((candidate, other), (arms.reference, one)) if arm not in there]
            yield Pair(*fronts, _names(one, other)), fault or "; ".join(why) or NO_RULE


def _names(reference: int, candidate: int) -> tuple[str, ...]:
    return by_width(reference, candidate) if reference and candidate else ()


def _why(declared: pd.DataFrame, architecture: str, d_sae: int) -> str:
    """Why an arm has no front."""
    rows = declared[declared["architecture"].eq(architecture) & declared["d_sae"].fillna(0).eq(d_sae)]
    counts = rows["status"].value_counts()
    if rows.empty:
        return f"no {architecture} run is declared there"
    if "done" in counts:
        return f"no finished {architecture} run there has a value"
    return f"no finished {architecture} run there ({', '.join(f'{count} {name}' for name, count in counts.items())})"


def unfinished(declared: pd.DataFrame) -> dict[tuple[str, int], str]:
    """By architecture and width, how much of an arm is finished; of those alone that are finished in part."""
    found = {}
    for _, rows in declared.groupby(list(ARM)):
        architecture, d_sae = str(rows["architecture"].iloc[0]), int(rows["d_sae"].iloc[0])
        done = rows["status"].eq("done").to_numpy()
        points = _points(rows)
        whole, begun = len(np.unique(points)), len(np.unique(points[done]))
        if begun and not done.all():
            count = (
                f"{done.sum()} of {len(rows)} declared runs"
                if begun == whole
                else f"{begun} of {whole} declared points"
            )
            found[architecture, d_sae] = f"{architecture}: {count} are finished"
    return found


def _points(rows: pd.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """For each declared run of an arm the number of its point; settings that some runs do not state tell none apart."""
    names = [name for name in map(str, rows) if name in AXES or (name.startswith(SETTING_PREFIXES) and name not in KEY)]
    return group_ids(rows, [name for name in names if rows[name].notna().all()])


def mixed(done: pd.DataFrame) -> Iterator[str]:
    """A line for each arm of a panel whose finished points differ in more than the axis of its front and the seed."""
    for _, rows in done.groupby(list(ARM)):
        said = [f"{name} {_values(rows[name])}" for name in mixed_settings(rows)]
        if said:
            yield f"{rows['architecture'].iloc[0]}: one front mixes {', '.join(said)}"


def _values(column: "pd.Series[Any]") -> str:
    """The different values, of numbers in their order."""
    known = column.dropna()
    numbers = pd.to_numeric(known, errors="coerce")
    if numbers.notna().all():
        return " and ".join(f"{value:g}" for value in sorted(set(numbers.astype(float))))
    return " and ".join(sorted(set(known.astype(str))))
