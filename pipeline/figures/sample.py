"""The runs that figures with one line per run show: a few of each arm, evenly spread."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import PANEL, as_floats
from pipeline.figures.inputs import FigureInputs
from pipeline.figures.panels import ORDER, heading, titles

LAMBDAS = 5
"""Lambdas of an arm in a panel."""
PANELS = 6
COLUMNS = ("sweep", "model", "finished", "panel", "arm", "sparsity_coefficient", "seed", "run", "shade")
"""What every row of such a figure's data begins with."""


def sample(source: FigureInputs) -> pd.DataFrame:
    """Some of the finished runs: in each panel and arm, lambdas evenly by rank, and one run per lambda.

    That run is on the frontier where one is, and has the lowest seed. `panel` is the panel's title; `shade` goes
    from 0 for an arm's least lambda to 1 for its largest.
    """
    done = source.runs[(source.runs["status"] == "done") & np.isfinite(as_floats(source.runs["l0"]))]
    order = done.assign(finished=len(done)).sort_values([*ORDER, "arm", "sparsity_coefficient", "seed"], kind="stable")
    groups = [rows for _, rows in order.groupby(list(PANEL), sort=False, dropna=False)]
    groups = [groups[place] for place in spread(len(groups), PANELS)]
    names = titles([rows.iloc[0][list(PANEL)].to_dict() for rows in groups], np.inf)
    chosen = [
        _of_arm(arm).assign(panel=name)
        for name, rows in zip(names, groups, strict=True)
        for _, arm in rows.groupby("arm", sort=False)
    ]
    return pd.concat(chosen, ignore_index=True) if chosen else order.assign(panel="", shade=0.0)


def _of_arm(runs: pd.DataFrame) -> pd.DataFrame:
    best = runs.sort_values("on_frontier", ascending=False, kind="stable")
    once = best.drop_duplicates("sparsity_coefficient").sort_values("sparsity_coefficient", kind="stable")
    shade = np.linspace(0, 1, len(once)) if len(once) > 1 else [0.5]
    return once.assign(shade=shade).iloc[spread(len(once), LAMBDAS)]


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the places 0 to count - 1, evenly, with the first and the last."""
    return sorted({*np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()})


def of_each(source: FigureInputs, read: Callable[[Path, pd.Series], pd.DataFrame | None]) -> pd.DataFrame:
    """What `read` finds for each chosen run in the sweeps' folder, concatenated; no rows where it finds nothing."""
    if source.sweeps_dir is None:
        return pd.DataFrame()
    frames = []
    for _, run in sample(source).iterrows():
        found = read(source.sweeps_dir, run)
        if found is not None and len(found):
            frames.append(pd.DataFrame({name: run[name] for name in COLUMNS}, index=found.index).join(found))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _seeds(points: pd.DataFrame) -> str:
    """Which seeds the runs have: one each."""
    seeds = [f"{seed:g}" for seed in sorted(set(as_floats(points["seed"].dropna())))]
    return f", of seed {' or '.join(seeds)}" if seeds else ""


def sample_heading(points: pd.DataFrame) -> str:
    """Heading: the sweep, its models, and which of the runs are shown."""
    counts = f"{points['run'].nunique():,} of {points['finished'].iloc[0]:,} finished runs"
    rule = f"one per lambda (fainter: smaller){_seeds(points)}, at most {LAMBDAS} per arm and {PANELS} sites and layers"
    return f"{heading(points)}\n{counts}: {rule}"
