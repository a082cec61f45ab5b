"""Where loss recovered is refused: the cost of ablating the site, by which it divides, is not clearly above zero."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import as_floats
from pipeline.comparison import bootstrap
from pipeline.comparison.panel import LOSS_RECOVERED, Panel


def refusals(panel: Panel) -> dict[str, str]:
    """By ablation the reason, in words; without sequences by the sign of the gap alone."""
    found = {}
    for ablation in LOSS_RECOVERED:
        gap = as_floats(panel.runs[f"ce_{ablation}"]) - as_floats(panel.runs["ce_clean"])
        if not np.isfinite(gap).any():
            continue
        low = high = value = float(np.nanmean(gap))
        if (
            panel.sums is not None
            and len(panel.sums.predictions) >= bootstrap.FEWEST_DOCUMENTS
            and len(panel.drawn) > 1
        ):
            gaps = bootstrap.gap(panel.sums, panel.drawn, ablation)
            ends = bootstrap.interval(gaps[:1], gaps[1:, None], bootstrap.stretch(panel.sums))
            value, low, high = float(gaps[0]), float(ends[0][0]), float(ends[1][0])
        if low <= 0:
            interval = f" ({low:.4g} to {high:.4g})" if low < high else ""
            found[ablation] = (
                f"loss recovered by {ablation} ablation is refused: ablating costs {value:.4g} nats{interval}, "
                "not clearly more than nothing; the cross-entropy added takes its place"
            )
    return found


def blanked(runs: pd.DataFrame, panels: Iterable[Panel]) -> pd.DataFrame:
    """The table of runs without the loss recovered that is refused."""
    changed = runs.copy()
    for panel in panels:
        for ablation in panel.refused:
            changed.loc[changed["run"].isin(panel.runs["run"]), LOSS_RECOVERED[ablation]] = np.nan
    return changed
