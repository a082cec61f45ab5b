"""Where the numbers of a sweep come from: code, versions, model, text, seeds, machines; what settings runs share."""

import pandas as pd

from pipeline.analysis.frontier import SETTING_PREFIXES
from pipeline.report import cells

Lines = list[tuple[str, str]]
SHOWN: tuple[tuple[str, str], ...] = (
    ("model", "model, with revision or digest"),
    ("identity.data", "training text"),
    ("evaluation.tokens", "held-out tokens, hash"),
    ("evaluation_tokens", "held-out tokens, number"),
    ("evaluation.id", "evaluation"),
    ("seed", "seeds"),
    ("training_version", "training version"),
    ("evaluation_version", "evaluation version"),
    ("provenance.python", "Python"),
    ("execution.hardware", "hardware"),
    ("execution.device", "device"),
    ("execution.threads", "threads"),
    ("execution.host", "host"),
)
"""Columns of runs.csv, and what the page calls them."""
PACKAGES = "provenance.packages."


def provenance(runs: pd.DataFrame) -> Lines:
    """What the records of the finished runs say of their making."""
    done = runs[runs["status"] == "done"]
    packages = [name for name in map(str, done) if name.startswith(PACKAGES)]
    named = [*SHOWN[:-4], *((name, name.removeprefix(PACKAGES)) for name in packages), *SHOWN[-4:]]
    lines = [("commit", cells.values(_commits(done)))]
    lines += [(heading, cells.values(done[name]) if name in done else cells.NOTHING) for name, heading in named]
    return [*lines, ("finished", _span(done))]


def _commits(done: pd.DataFrame) -> "pd.Series[str]":
    if "provenance.commit" not in done:
        return pd.Series(dtype=str)
    changed = done["provenance.dirty"].eq(True) if "provenance.dirty" in done else pd.Series(False, done.index)
    commits = done["provenance.commit"].astype("string")
    return commits + changed.map({True: " and changes that no commit holds", False: ""}).astype("string")


def _span(done: pd.DataFrame) -> str:
    """First and last end of a run, as ISO 8601 says it."""
    name = "execution.finished"
    times = sorted(done[name].dropna().astype(str)) if name in done else []
    return f"{times[0]} to {times[-1]}" if times else cells.NOTHING


def shared_settings(runs: pd.DataFrame) -> Lines:
    """Settings in which no two runs that have them differ."""
    names = [name for name in map(str, runs) if name.startswith(SETTING_PREFIXES)]
    return [(name, cells.values(runs[name])) for name in names if runs[name].nunique() == 1]
