"""The numbers as tables of text: ratios, ratios with other choices, cross-entropy added at equal L0."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.comparison import tables
from pipeline.comparison.compare import AS_TRAINED
from pipeline.comparison.findings import Findings
from pipeline.comparison.noise import KINDS
from pipeline.comparison.questions import DIRECTION, Answer
from pipeline.comparison.robustness import Alternative, Robustness
from pipeline.comparison.shown import NOTHING, Row, Shown, ends, first, key, named, of_pairs, row_of, shown
from pipeline.comparison.shown_claims import word

NOISES = tuple(f"95 %, over {kind}" for kind in KINDS)
RATIOS = (
    "where", "fronts", "fair by", "verdict", "ratio", *NOISES, "repeat, new seeds", "other choices", "along", "alive",
    "effective width",
)  # fmt: skip
DIFFERENCE = "reference minus candidate"


def ratios(found: Findings) -> Shown:
    """One row per pair of fronts as trained, by zero ablation: its verdict, its ratio and every interval."""
    rows = tables.l0_ratios(found.compared)
    asked, others = directions(found), {_key(one): _range(one) for one in found.robustness}
    cells = []
    for group in of_pairs(rows[rows["ablation"] == "zero"]):
        row = first(group)
        direction = asked[key(row)]
        words = {"fair by": " + ".join(direction.pair.names), "verdict": in_words(direction)}
        cells.append(named(row, found) | words | _ratio(group) | {"other choices": others.get(key(row), NOTHING)})
    return shown(cells, RATIOS)


def _ratio(group: pd.DataFrame) -> dict[str, str]:
    row = first(group)
    if pd.isna(row["ratio_median"]):
        return {"ratio": "none"}
    once = group[group["comparison"] == row["comparison"]].set_index("noise")
    limits = sorted(abs(row[f"fidelity_{end}"]) for end in ("low", "high"))
    fidelity = "loss recovered" if row["fidelity"] == "loss_recovered" else "CE added"
    return {
        "ratio": f"{row['ratio_median']:.2f}",
        **{heading: ends(once.loc[kind], "ratio", "{:.2f}") for heading, kind in zip(NOISES, KINDS, strict=True)},
        "repeat, new seeds": ends(once.loc["seeds"], "ratio_repeat", "{:.2f}"),
        "along": f"{fidelity} {limits[0]:.3f} to {limits[1]:.3f}" + (", narrow" if row["narrow"] else ""),
        "alive": _both(row, "alive", "{:.0%}"), "effective width": _both(row, "effective", "{:,.0f}"),
    }  # fmt: skip


def directions(found: Findings) -> dict[tuple[Any, ...], Answer]:
    """By pair of fronts the answer on its direction, as trained."""
    asked = [answer for answer in found.answers if answer.question == DIRECTION and answer.scenario == AS_TRAINED]
    return {key(row_of(answer.panel, answer.pair)): answer for answer in asked}


def in_words(direction: Answer) -> str:
    """The verdict, how far it reaches, and what it was judged by where that is not the ratio."""
    if direction.left_out:
        return f"not judged: {direction.left_out}"
    number = direction.numbers
    by = number.removeprefix(direction.said) if direction.said.startswith("L0 ratio") else f", {number}"
    return f"{word(direction)}{by}" + (f"; {direction.caveat}" if direction.caveat else "")


def _both(row: Row, name: str, form: str) -> str:
    """A value of the reference and of the candidate; a dash where neither is known."""
    values = [row[f"{name}_{arm}"] for arm in ("reference", "candidate")]
    if all(map(pd.isna, values)):
        return NOTHING
    return " / ".join("unknown" if pd.isna(value) else form.format(value) for value in values)


def _key(one: Robustness) -> tuple[Any, ...]:
    return key(row_of(one.panel, one.headline.pair))


def _range(one: Robustness) -> str:
    """From the lowest to the highest ratio that other choices give."""
    known = [other.ratio for other in one.choices if np.isfinite(other.ratio)]
    return f"{min(known):.2f} to {max(known):.2f}" if known else NOTHING


def moved(found: Findings) -> Shown:
    """One row per ratio that other choices move out of its interval: the lowest and the highest that they give."""
    rows = []
    for one in found.robustness:
        outside, interval = sorted(one.outside(), key=lambda other: other.ratio), one.interval()
        if outside and interval is not None:
            low, high = interval
            rows.append(named(row_of(one.panel, one.headline.pair), found) | {
                "ratio": f"{one.ratio:.2f}", "95 % interval": f"{low:.2f} to {high:.2f}",
                "lowest": _choice(outside[0]) if outside[0].ratio < low else NOTHING,
                "highest": _choice(outside[-1]) if outside[-1].ratio > high else NOTHING,
            })  # fmt: skip
    return shown(rows, ["where", "fronts", "ratio", "95 % interval", "lowest", "highest"])


def _choice(other: Alternative) -> str:
    return f"{other.ratio:.2f} {other.name}"


def robustness(found: Findings) -> Shown:
    """One row per pair of fronts and choice: the ratio that it gives."""
    rows = []
    for one in found.robustness:
        pair = named(row_of(one.panel, one.headline.pair), found)
        rows.append(pair | {"choice": "as it is", "ratio": f"{one.ratio:.2f}"})
        for other in one.alternatives:
            ratio = f"{other.ratio:.2f}" if np.isfinite(other.ratio) else f"none: {other.note}"
            rows.append(pair | {"choice": other.name, "ratio": ratio})
    return shown(rows, ["where", "fronts", "choice", "ratio"])


def ce_at_l0(found: Findings) -> Shown:
    """One row per pair of fronts and L0: the cross-entropy each arm adds, and reference minus candidate."""
    cells = []
    for group in of_pairs(found.at_l0[found.at_l0["ce_added"].notna()]):
        here = group[group["comparison"] == group["comparison"].iloc[0]]
        pair = named(first(here), found)
        for l0, at in here.groupby("l0", sort=False):
            words = f"{l0}, mean" if " to " in str(l0) else str(l0)
            cells.append(pair | {"L0": words} | _added(at.set_index(["arm", "noise"])))
    return shown(cells, ["where", "fronts", "L0", "reference", "candidate", DIFFERENCE])


def _added(at: pd.DataFrame) -> dict[str, str]:
    """Nats per prediction, with intervals, of one pair at one L0; an arm whose front does not reach it has none."""
    cells: dict[str, str] = {}
    for arm in dict.fromkeys(arm for arm, _ in at.index):
        kind = "both" if np.isfinite(at.loc[(arm, "both"), "ce_added_low"]) else "sequences"
        one = at.loc[(arm, kind)]
        interval = ends(one, "ce_added", "{:.4f}")
        nats = f"{one['ce_added']:.4f}" + ("" if interval == NOTHING else f" ({interval})")
        cells |= {DIFFERENCE: nats} if arm == "difference" else {arm: f"{nats}, {one['share_of_clean']:.2%}"}
    return cells
