"""Print docs/paper_l0_ratios.md from docs/gated_paper_tables.csv: `python -m docs.generate.paper_ratios`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.curves import fronts
from pipeline.analysis.external_points import read_source
from pipeline.analysis.frontier import PANEL
from pipeline.comparison.compare import Compared, panels
from pipeline.comparison.direction import ABOVE, BELOW, CROSSING, NOT_COMPARED
from pipeline.comparison.measure import Measured
from pipeline.comparison.panel import Panel
from pipeline.comparison.questions import ABOUT_HALF, judged_by
from pipeline.comparison.shrinkage import HEALTHY
from pipeline.comparison.tables import curves, l0_ratios
from pipeline.storage.places import PAPER_TABLE

NARROW = 1.25
"""Where L0 of gated rises by less than this factor along the overlap, the ratio is hardly more than one point."""
HEAD = """# L0 ratios from the paper's own points

The paper says that Gated SAEs need "about half" the firing features of baseline SAEs for the same loss recovered. It
prints points, not ratios. Here its 283 published points (`docs/gated_paper_tables.csv`, tables 1 to 8 of arXiv
2404.16014 version 2) go through the code that every sweep goes through: L0 of the baseline, 1.5 times as wide, over L0
of gated at equal loss recovered; the median over the loss recovered that both fronts reach; nothing extrapolated. The
points have no sequences and no seeds, so there are no intervals.

{line}. A row is left out when its L0 is negative or its note says that its values may belong to another row.

| model | site | layer | widths | ratio | loss recovered | L0 of gated | alive, baseline | alive, gated | |
|---|---|---|---|---|---|---|---|---|---|"""
TAIL = """
Alive: mean over the points that the ratio rests on, and the lowest of them. *Dead features*: one of the two means is
below {healthy:.0%}. *Narrow*: L0 of gated rises by less than a factor of {narrow:g} along what the fronts share.

## What this says about "about half"

{words}

Produced by `python -m docs.generate.paper_ratios > docs/paper_l0_ratios.md`; `python pipeline/plot_pareto.py
source=docs/gated_paper_tables.csv` writes the same numbers, their curves and the figures to
`results/gated_paper_tables/`."""


def document() -> str:
    source = read_source(PAPER_TABLE)
    compared = list(panels(source.runs, None, 0))
    ratios = l0_ratios(compared)
    by = [*PANEL, "d_sae_reference", "d_sae_candidate"]
    reach = curves(compared).groupby(by)["l0_candidate"].agg(l0_low="first", l0_high="last").reset_index()
    rows = ratios[(ratios["noise"] == "sequences") & (ratios["ablation"] == "zero")].merge(reach, "left", by)
    body = "\n".join(_row({str(k): v for k, v in row.items()}) for row in rows.to_dict("records"))
    words = "\n".join([_directions(compared), *_left_out(compared), _words(rows)])
    tail = TAIL.format(healthy=HEALTHY, narrow=NARROW, words=words)
    return "\n".join([HEAD.format(line=source.line), body, tail])


def _row(row: dict[str, Any]) -> str:
    place = f"| {row['model']} | {row['site']} | {row['layer']} | {row['d_sae_reference']} / {row['d_sae_candidate']}"
    if pd.isna(row["ratio_median"]):
        return f"{place} | none | | | | | {row['note']} |"
    alive = " | ".join(
        f"{row[f'alive_{arm}']:.0%}, {row[f'alive_{arm}_lowest']:.0%}" for arm in ("reference", "candidate")
    )
    reach = f"{row['fidelity_low']:.4f} to {row['fidelity_high']:.4f}"
    reach += f" | {row['l0_low']:.1f} to {row['l0_high']:.1f}"
    return f"{place} | {row['ratio_median']:.2f} | {reach} | {alive} | {', '.join(_marks(row))} |"


def _marks(row: dict[str, Any]) -> list[str]:
    dead = min(row["alive_reference"], row["alive_candidate"]) < HEALTHY
    return ["dead features"] * dead + ["narrow"] * (row["l0_high"] / row["l0_low"] < NARROW)


def _readings(compared: Sequence[Compared]) -> list[tuple[Panel, list[Measured]]]:
    """Everything that was measured, by pair of fronts."""
    pairs = [(one, pair) for one in compared for pair in dict.fromkeys(measured.pair for measured in one.measured)]
    return [(one.panel, [measured for measured in one.measured if measured.pair is pair]) for one, pair in pairs]


def _word(read: list[Measured]) -> str:
    """The direction by the points alone, as it would be judged with intervals."""
    chosen = judged_by(read)
    return NOT_COMPARED if chosen is None or chosen.estimate is None else chosen.estimate.direction.word


def _directions(compared: Sequence[Compared]) -> str:
    readings = _readings(compared)
    counts = Counter(_word(read) for _, read in readings)
    return (
        "- By the points, of which nobody knows how sure they are, gated is better along all that the two fronts "
        f"share in {counts[ABOVE]} of {len(readings)} pairs, worse in {counts[BELOW]}; in {counts[CROSSING]} the "
        f"fronts cross, and {counts[NOT_COMPARED]} share neither loss recovered nor L0. Where there is no ratio, or a "
        "narrow one in both arms, that is judged by the cross-entropy at equal L0."
    )


def _left_out(compared: Sequence[Compared]) -> Iterator[str]:
    """What the medians of ratios leave out."""
    without = [(panel, read) for panel, read in _readings(compared) if read[0].estimate is None]
    faithful = [_ranges(panel, read[0]) for panel, read in without]
    gated = sum(other[0] > one[1] for one, other in faithful)
    counts = Counter(_word(read) for _, read in without)
    yield (
        f"- {len(without)} pairs have no ratio, since the fronts share no loss recovered; the medians below leave them "
        f"out. In {gated} of them all of gated's points recover more than any of the baseline's. At equal L0 gated "
        f"saves cross-entropy in {counts[ABOVE]} of them and costs it in {counts[BELOW]}; {counts[NOT_COMPARED]} share "
        "no L0 either, gated having both more active features and more of the loss recovered."
    )


def _ranges(panel: Panel, ratio: Measured) -> list[tuple[float, float]]:
    """Least and most loss recovered of the points on either front."""
    found = []
    for front in ratio.pair.fronts:
        _, y = fronts(*panel.sample(front, ratio.fidelity)(slice(0, 1)))
        found.append((float(np.nanmin(y)), float(np.nanmax(y))))
    return found


def _words(rows: pd.DataFrame) -> str:
    known = rows[rows["ratio_median"].notna()]
    alive = known[["alive_reference", "alive_candidate"]].min(axis=1) >= HEALTHY
    wide = known["l0_high"] / known["l0_low"] >= NARROW
    low, high = ABOUT_HALF
    lines = [
        *(_counted(name, known[chosen]) for name, chosen in (
            ("Pairs that have a ratio", alive | True), ("Those with live features in both arms", alive),
            ("Those with live features and an overlap that is not narrow", alive & wide),
            ("Those that rest on dead features", ~alive),
        )),
        f"- \"About half\" is taken as {low:g} to {high:g}. Ratios above 5 are found only where "
        + _beyond(known, alive, wide, 5.0),
    ]  # fmt: skip
    return "\n".join(lines)


def _counted(name: str, rows: pd.DataFrame) -> str:
    low, high = ABOUT_HALF
    if rows.empty:
        return f"- {name}: none."
    ratios = rows["ratio_median"]
    within = int(ratios.between(low, high).sum())
    spread = f"median {ratios.median():.2f}, {ratios.min():.2f} to {ratios.max():.2f}"
    return f"- {name}: {len(rows)}, {spread}; {within} within {low:g} to {high:g}, {int((ratios < 1).sum())} below 1."


def _beyond(known: pd.DataFrame, alive: pd.Series, wide: pd.Series, limit: float) -> str:
    """Whether the largest ratios all rest on dead features or narrow overlaps, and which do not."""
    odd = known[(known["ratio_median"] > limit) & alive & wide]
    if odd.empty:
        return "one arm has dead features or the overlap is narrow."
    places = ", ".join(
        f"{model} {site} layer {layer}" for model, site, layer in odd[["model", "site", "layer"]].to_numpy()
    )
    return f"one arm has dead features or the overlap is narrow, with the exception of {places}."


if __name__ == "__main__":
    print(document())
