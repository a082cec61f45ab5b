"""How often features fire: histograms of log10 of the share of held-out tokens, one line per run."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from pipeline.analysis.frontier import as_floats
from pipeline.comparison.documents import record_path
from pipeline.errors import DamagedFile
from pipeline.figures.inputs import ALIVE_FREQUENCY, FigureInputs, Looks
from pipeline.figures.panels import finish, panel_width, wrapped
from pipeline.figures.sample import of_each, sample_heading
from pipeline.figures.style import RC, REFERENCE
from pipeline.storage.layout import SEQUENCES
from pipeline.storage.reading import read_arrays

BINS_PER_DECADE = 4
ROUNDING = 1e-9
"""So that a single token is in the first bin whatever the logarithm's last digit."""
HEIGHT = 1.5
X_LABEL = "Firing frequency (log10 of the share of tokens)"
Y_LABEL = "features per bin\n(share of all)"
HEADROOM = 1.25
"""Above the highest bin of a row of panels, for the words on silent features."""


def data(source: FigureInputs) -> pd.DataFrame:
    """One row per run and bin: `features` with log10 of their firing frequency in [low, high).

    Bins are quarters of a decade, from a single token on. Silent features, which never fired, have a row without ends.
    `alive_frequency` is the share of tokens from which on a feature counts as alive; NaN where the record lacks it.
    """
    return of_each(source, _histogram)


def _histogram(sweeps_dir: Path, run: pd.Series) -> pd.DataFrame | None:
    path = record_path(sweeps_dir, run["run"], run["evaluation.id"]) / SEQUENCES
    try:
        found = read_arrays(path)
        counts, tokens = found["feature_counts"], float(found["tokens"].sum())
    except (OSError, KeyError, DamagedFile):  # absent or damaged: the figure does without
        return None
    if tokens < 1:
        return None
    bins = math.floor(math.log10(tokens) * BINS_PER_DECADE) + 1
    edges = np.arange(bins + 1) / BINS_PER_DECADE - math.log10(tokens) - ROUNDING
    features = np.histogram(np.log10(counts[counts > 0] / tokens), edges)[0]
    return pd.DataFrame({
        "log10_low": [*edges[:-1], np.nan], "log10_high": [*edges[1:], np.nan],
        "features": [*features, int((counts == 0).sum())], "d_sae": len(counts),
        "alive_frequency": run.get(ALIVE_FREQUENCY, np.nan),
    })  # fmt: skip


def draw(points: pd.DataFrame, looks: Looks) -> Figure:
    panels = list(points.groupby("panel", sort=False))
    arms = [label for label in looks if label in set(points["arm"])]
    width = panel_width(len(arms))
    with rc_context(RC):
        figure = Figure(figsize=(width * len(arms), HEIGHT * len(panels) + 0.3))
        for row, (title, rows) in enumerate(panels):
            first: Axes | None = None
            for column, arm in enumerate(arms):
                place = row * len(arms) + column + 1
                axes = figure.add_subplot(len(panels), len(arms), place, sharex=first, sharey=first)
                first = first or axes
                axes.set_ylim(0, HEADROOM * (rows["features"] / rows["d_sae"])[rows["log10_low"].notna()].max())
                _panel(axes, rows[rows["arm"] == arm], looks)
                if row == 0:
                    axes.set_title(wrapped(arm, width))
                if row == len(panels) - 1:
                    axes.set_xlabel(wrapped(X_LABEL, width - 0.4))
                if column == 0:
                    axes.set_ylabel(f"{wrapped(str(title), HEIGHT)}\n{Y_LABEL}")
        finish(figure, sample_heading(points), _handles(points))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """A line per run; in words, the range of the runs' shares of silent features."""
    axes.xaxis.set_major_locator(MultipleLocator(1))
    silent = []
    for _, run in rows.groupby("run", sort=False):
        look, share = looks[run["arm"].iloc[0]].shaded(run["shade"].iloc[0]), run["features"] / run["d_sae"]
        fired = run["log10_low"].notna()
        edges = [*run.loc[fired, "log10_low"], run.loc[fired, "log10_high"].iloc[-1]]
        axes.stairs(share[fired], edges, color=look.colour, linewidth=0.9)
        silent.append(float(share[~fired].sum()))
    for frequency in _alive_frequencies(rows):
        axes.axvline(math.log10(frequency), **REFERENCE)
    if silent:
        few, many = f"{min(silent):.1%}", f"{max(silent):.1%}"
        words = f"never fired: {few}" if few == many else f"never fired: {few} to {many}"
        box = {"facecolor": "white", "linewidth": 0, "pad": 0.6}  # above the line to compare with
        axes.text(0.03, 0.97, words, transform=axes.transAxes, va="top", fontsize=6.5, color="#555555", bbox=box)


def _alive_frequencies(rows: pd.DataFrame) -> list[float]:
    known = as_floats(rows["alive_frequency"].dropna())
    return sorted(set(known[known > 0].tolist()))


def _handles(points: pd.DataFrame) -> list[Line2D | Patch]:
    """For the legend: from where on a feature counts as alive."""
    found = " or ".join(f"{frequency:g}" for frequency in _alive_frequencies(points))
    line = {name: REFERENCE[name] for name in ("color", "linewidth", "linestyle")}
    return [Line2D([], [], label=f"alive: fires on at least {found} of tokens", **line)] if found else []
