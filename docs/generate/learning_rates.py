"""Print docs/learning_rates.md from results/learning_rates/runs.csv: `python -m docs.generate.learning_rates`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.analysis.curves import Floats, fronts, interpolate
from pipeline.analysis.frontier import as_floats, points
from pipeline.comparison.shown import NOTHING
from pipeline.errors import UserError
from pipeline.storage.places import RESULTS

LOWEST, HIGHEST = 5, 50
PLACES = 200
EDGES = np.linspace(np.log(LOWEST), np.log(HIGHEST), PLACES + 1)
AT = (EDGES[1:] + EDGES[:-1]) / 2
"""Log L0 at which fronts are read off: the middles of equal parts."""
HEAD = """# Learning rates

Each arm of `sweep=gated_vs_baseline` has, at each site, the best of the rates tried by its own front: the non-dominated
runs of a rate, joined linearly in (log L0, loss recovered). Compared is loss recovered, averaged over L0 of {low} to
{high}, evenly in log L0, on the validation text: {sequences} contexts, on which no run is trained and no result
reported. Where fronts reach less, the L0 that all of them reach are compared, as stated; but a front that another is
above at every L0 that both reach does not narrow the range for the others. A dash: that front does not reach all of it.
Rates were compared at the lambdas of conf/sweep/learning_rates.yaml: the baseline's are those of the sweep, gated's
are near them.
"""
TAIL = """
{seeds}: how far another training would move a cell was not measured, so a difference in the
fourth digit chooses by chance. Produced by
`python pipeline/run.py -m sweep=learning_rates`, `python pipeline/plot_pareto.py sweep=learning_rates` and
`python -m docs.generate.learning_rates > docs/learning_rates.md`."""


@dataclass(frozen=True)
class Choice:
    """What the rates of one arm at one site come to."""

    architecture: str
    site: str
    reach: tuple[float, float]  # of L0, over which rates are compared; NaN where no front reaches any of it
    recovered: dict[float, float]  # by rate: mean loss recovered; NaN for a front that reaches less

    @property
    def best_first(self) -> list[float]:
        """The rates that were compared."""
        known = [rate for rate, value in self.recovered.items() if np.isfinite(value)]
        return sorted(known, key=lambda rate: -self.recovered[rate])

    @property
    def is_at_edge(self) -> bool:
        return self.best_first[0] in {min(self.recovered), max(self.recovered)}


def choices(runs: pd.DataFrame) -> list[Choice]:
    """One for each arm and site with a front that reaches L0 of LOWEST to HIGHEST at all.

    Args:
        runs: rows as in runs.csv; runs that differ by nothing but their seed count as their mean.
    """
    found = []
    for (architecture, site), rows in points(runs).groupby(["architecture", "site"]):
        curves = {rate: _curve(rows[rows["train.lr"] == rate]) for rate in map(float, rows["train.lr"].unique())}
        if any(np.isfinite(curve).any() for curve in curves.values()):
            found.append(_choice(str(architecture), str(site), curves))
    return found


def _curve(rows: pd.DataFrame) -> Floats:
    """[PLACES] loss recovered of the front of these points; NaN where it does not reach."""
    with np.errstate(divide="ignore"):
        x, y = fronts(np.log(as_floats(rows["l0"]))[None], as_floats(rows["loss_recovered"])[None])
    read: Floats = interpolate(x, y, AT)[0]
    return read


def _choice(architecture: str, site: str, curves: Mapping[float, Floats]) -> Choice:
    left = [curve for curve in curves.values() if not any(_is_above(other, curve) for other in curves.values())]
    reached = np.isfinite([curve for curve in left if np.isfinite(curve).any()]).all(axis=0)
    reach = (np.nan, np.nan)
    if reached.any():
        first, last = np.flatnonzero(reached)[[0, -1]]
        reach = (float(np.exp(EDGES[first])), float(np.exp(EDGES[last + 1])))
    means = {rate: float(curve[reached].mean()) if reached.any() else np.nan for rate, curve in curves.items()}
    return Choice(architecture, site, reach, means)


def _is_above(first: Floats, second: Floats) -> bool:
    """Wherever both have values, of which there are some."""
    both = np.isfinite(first) & np.isfinite(second)
    return bool(both.any() and (first[both] > second[both]).all())


def document(runs: pd.DataFrame) -> str:
    """The page: what was compared, and a row an arm and site."""
    runs = runs[runs["status"] == "done"]
    if set(runs["eval.split"]) != {"validation"}:
        raise UserError("runs.csv holds no runs that were evaluated on validation text alone: eval.split=validation")
    found = choices(runs)
    rates = sorted({rate for choice in found for rate in choice.recovered})
    heads = ["architecture", "site", "L0", *(f"{rate:g}" for rate in rates), "chosen", "runner-up"]
    table = [_line(heads), "|" + "---|" * len(heads), *(_line(_cells(choice, rates)) for choice in found)]
    edges = [
        f"- The rate chosen for {choice.architecture} at {choice.site} ({choice.best_first[0]:g}) is at the edge of "
        "those tried: one beyond it may be better still."
        for choice in found
        if choice.best_first and choice.is_at_edge
    ]
    seeds = runs["seed"].nunique()
    notes = ["", *edges] if edges else []
    tail = TAIL.format(seeds="One seed" if seeds == 1 else f"Means over {seeds} seeds")
    return "\n".join(
        [HEAD.format(low=LOWEST, high=HIGHEST, sequences=int(runs["eval.sequences"].max())), *table, *notes, tail]
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(choice: Choice, rates: Sequence[float]) -> list[str]:
    place = [choice.architecture, choice.site]
    if not (order := choice.best_first):
        return [*place, "no L0 in common", *("" for _ in rates), "none", ""]
    values = choice.recovered
    shown = [f"{values[rate]:.4f}" if rate in order else NOTHING for rate in rates]
    second = f"{order[1]:g}, {values[order[0]] - values[order[1]]:.4f} lower" if len(order) > 1 else ""
    return [*place, "{:.3g} to {:.3g}".format(*choice.reach), *shown, f"{order[0]:g}", second]


if __name__ == "__main__":
    print(document(pd.read_csv(RESULTS / "learning_rates" / "runs.csv")))
