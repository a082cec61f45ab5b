"""The paper's three claims: supported, contradicted or undecided by these runs, by rules printed beside them."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from pipeline.frontier import PANEL

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
PREFERRED = ("width_1.5", "equal_width", "equal_flops", "equal_seconds")
"""Of the comparisons that a sweep holds, the claims are judged by the first; the paper's own is 1.5 x width."""
ABOUT_HALF = (1.5, 3.0)
HEALTHY = 0.9
"""Alive fraction from which on a point counts for the claims on shrinkage and on half the features."""
UNBIASED, SHRUNK, MOST = 0.02, 0.97, 0.9
OVERALL = (
    "Overall: supported if it holds wherever it could be judged, contradicted if it is contradicted somewhere and "
    "supported nowhere, else undecided."
)
NOISES = "both kinds of noise where both were measured, else that over documents"


@dataclass(frozen=True)
class Claim:
    text: str
    verdict: str
    because: str  # what was counted
    rule: str


def claims(ratios: pd.DataFrame, points: pd.DataFrame) -> list[Claim]:
    """The claims, judged.

    Args:
        ratios: as `pipeline.comparison.tables.l0_ratios` gives them.
        points: as `pipeline.frontier.points` gives them.
    """
    by_name = {name: ratios[(ratios["comparison"] == name) & (ratios["ablation"] == "zero")] for name in PREFERRED}
    name = next((name for name in PREFERRED if len(by_name[name])), PREFERRED[0])
    return [_above(by_name[name], name), _shrinkage(points), _half(by_name[name], name)]


def _above(rows: pd.DataFrame, name: str) -> Claim:
    verdicts = [_judged(group, 1.0, float("inf")) for group in _groups(rows)]
    return Claim(
        "Gated is above the baseline: as faithful with fewer active features.", *_overall(verdicts, name),
        f"At a site: supported if the 95 % interval of the L0 ratio lies above 1, contradicted if below, by {NOISES}; "
        f"without an interval undecided. {OVERALL}",
    )  # fmt: skip


def _half(rows: pd.DataFrame, name: str) -> Claim:
    low, high = ABOUT_HALF
    healthy = rows[(rows["alive_baseline"] >= HEALTHY) & (rows["alive_gated"] >= HEALTHY)]
    verdicts = [_judged(group, low, high) for group in _groups(healthy)]
    verdict, because = _overall(verdicts, name)
    left_out = len(_groups(rows)) - len(verdicts)
    because += f"; {left_out} left out for dead features" if left_out else ""
    return Claim(
        "Gated needs about half the active features.", verdict, because,
        f"At a site where both arms have {HEALTHY:.0%} of their features alive: supported if the 95 % interval of the "
        f"L0 ratio lies within {low:g} to {high:g}, contradicted if outside it altogether, by {NOISES}; without an "
        f"interval undecided. {OVERALL}",
    )  # fmt: skip


def _groups(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of one pair of fronts, one a kind of noise; pairs without a ratio are no evidence either way."""
    known = rows[rows["ratio_median"].notna()]
    return [group for _, group in known.groupby([*PANEL, "d_sae_baseline", "d_sae_gated"], dropna=False)]


def _judged(rows: pd.DataFrame, low: float, high: float) -> str:
    known = rows[rows["ratio_low"].notna()]
    if not (known["noise"] == "sequences").any():
        return UNDECIDED
    if ((known["ratio_low"] > low) & (known["ratio_high"] < high)).all():
        return SUPPORTED
    outside = (known["ratio_high"] < low).all() or (known["ratio_low"] > high).all()
    return CONTRADICTED if outside else UNDECIDED


def _overall(verdicts: list[str], name: str) -> tuple[str, str]:
    counts = {verdict: verdicts.count(verdict) for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED)}
    if verdicts and counts[SUPPORTED] == len(verdicts):
        verdict = SUPPORTED
    else:
        verdict = CONTRADICTED if counts[CONTRADICTED] and not counts[SUPPORTED] else UNDECIDED
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    return verdict, f"{name}: {', '.join(parts)} of {len(verdicts)} comparisons" if verdicts else "no ratio to judge by"


def _shrinkage(points: pd.DataFrame) -> Claim:
    kept = points[points["on_frontier"] & (points["alive_fraction"] >= HEALTHY) & points["gamma"].notna()]
    gated, baseline = (kept.loc[kept["architecture"] == name, "gamma"] for name in ("gated", "baseline"))
    verdict, because = UNDECIDED, f"{len(gated)} gated and {len(baseline)} baseline points with live features"
    if len(gated) and len(baseline):
        share = (abs(gated - 1) <= UNBIASED).mean()
        because += f"; median gamma {gated.median():.3f} and {baseline.median():.3f}, {share:.0%} of gated unbiased"
        if gated.median() < SHRUNK:
            verdict = CONTRADICTED
        elif share >= MOST and baseline.median() < SHRUNK:
            verdict = SUPPORTED
    return Claim(
        "Gated has no shrinkage, the baseline has.", verdict, because,
        f"Of the points on the fronts with {HEALTHY:.0%} of their features alive: supported if {MOST:.0%} of gated's "
        f"have gamma within {UNBIASED:g} of 1 and the baseline's median is below {SHRUNK:g}; contradicted if gated's "
        "median is below that; else undecided.",
    )  # fmt: skip


def lines(judged: Iterable[Claim]) -> list[str]:
    """Claims as Markdown."""
    return [f"- **{claim.verdict}**: {claim.text} ({claim.because})\n  Rule: {claim.rule}" for claim in judged]
