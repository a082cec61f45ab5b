"""The paper's three claims: supported, contradicted or undecided by these runs, by rules printed beside them."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from pipeline.comparison.arms import BASELINE, GATED
from pipeline.frontier import PANEL

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
PREFERRED = ("width_1.5", "equal_width", "equal_flops", "equal_seconds")
"""Of the comparisons that a sweep holds, the claims are judged by the first; the paper's own is 1.5 x width."""
ABOUT_HALF = (1.5, 3.0)
HEALTHY = 0.9
"""Alive fraction from which on a point counts for the claims on shrinkage and on half the features."""
UNBIASED, SHRUNK, MOST = 0.02, 0.97, 0.9
FEWEST_POINTS = 3
ARMS = (GATED, BASELINE)
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
    above, half = on_ratios(ratios)
    return [above, _shrinkage(points), half]


def on_ratios(ratios: pd.DataFrame) -> tuple[Claim, Claim]:
    """Those of the claims that follow from the ratios alone."""
    by_name = {name: ratios[(ratios["comparison"] == name) & (ratios["ablation"] == "zero")] for name in PREFERRED}
    name = next((name for name in PREFERRED if len(by_name[name])), PREFERRED[0])
    return _above(by_name[name], name), _half(by_name[name], name)


def _above(rows: pd.DataFrame, name: str) -> Claim:
    return Claim(
        "Gated is above the baseline: as faithful with fewer active features.",
        *_overall(_groups(rows), 1.0, float("inf"), name),
        f"At a site: supported if the 95 % interval of the L0 ratio lies above 1, contradicted if below, by {NOISES}; "
        f"without an interval undecided. {OVERALL}",
    )  # fmt: skip


def _half(rows: pd.DataFrame, name: str) -> Claim:
    low, high = ABOUT_HALF
    healthy = rows[(rows["alive_baseline"] >= HEALTHY) & (rows["alive_gated"] >= HEALTHY)]
    groups = _groups(healthy)
    verdict, because = _overall(groups, low, high, name)
    unknown = len(_groups(rows[rows[["alive_baseline", "alive_gated"]].isna().any(axis=1)]))
    left_out = len(_groups(rows)) - len(groups) - unknown
    because += f"; {left_out} left out for dead features" if left_out else ""
    because += f"; {unknown} left out, where the share of alive features is unknown" if unknown else ""
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


def _overall(groups: list[pd.DataFrame], low: float, high: float, name: str) -> tuple[str, str]:
    """The verdict over all pairs of fronts, and what was counted."""
    if not groups:
        return UNDECIDED, "no ratio to judge by"
    verdicts = [_judged(group, low, high) for group in groups]
    counts = {verdict: verdicts.count(verdict) for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED)}
    if counts[SUPPORTED] == len(verdicts):
        verdict = SUPPORTED
    else:
        verdict = CONTRADICTED if counts[CONTRADICTED] and not counts[SUPPORTED] else UNDECIDED
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    unmeasured = sum(not (group["noise"].eq("seeds") & group["ratio_low"].notna()).any() for group in groups)
    because = f"{name}: {', '.join(parts)} of {len(verdicts)} comparisons"
    return verdict, because + (f", {unmeasured} without a measure of seed noise" if unmeasured else "")


def _shrinkage(points: pd.DataFrame) -> Claim:
    kept = points[points["on_frontier"] & (points["alive_fraction"] >= HEALTHY) & points["gamma"].notna()]
    both = kept.groupby(list(PANEL), dropna=False)["architecture"].transform(lambda arms: {*ARMS} <= {*arms})
    gated, baseline = (kept.loc[both.astype(bool) & (kept["architecture"] == name), "gamma"] for name in ARMS)
    verdict, because = UNDECIDED, f"{len(gated)} gated and {len(baseline)} baseline points"
    if min(len(gated), len(baseline)) >= FEWEST_POINTS:
        share = (abs(gated - 1) <= UNBIASED).mean()
        because += f"; median gamma {gated.median():.3f} and {baseline.median():.3f}, {share:.0%} of gated unbiased"
        if gated.median() < SHRUNK:
            verdict = CONTRADICTED
        elif share >= MOST and baseline.median() < SHRUNK:
            verdict = SUPPORTED
    return Claim(
        "Gated has no shrinkage, the baseline has.", verdict, because,
        f"Of the points on the fronts with {HEALTHY:.0%} of their features alive, where both arms have such "
        f"and with {FEWEST_POINTS} of each at least: supported if {MOST:.0%} of gated's "
        f"have gamma within {UNBIASED:g} of 1 and the baseline's median is below {SHRUNK:g}; contradicted if gated's "
        "median is below that; else undecided.",
    )  # fmt: skip


def lines(judged: Iterable[Claim]) -> list[str]:
    """Claims as Markdown."""
    return [f"- **{claim.verdict}**: {claim.text} ({claim.because})\n  Rule: {claim.rule}" for claim in judged]
