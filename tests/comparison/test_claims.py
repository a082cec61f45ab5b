"""The rule for words, case by case."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.comparison.claims import claims, lines
from pipeline.frontier import PANEL

NAN = float("nan")


def ratios(
    *intervals: tuple[float, float], noise: str = "sequences", comparison: str = "width_1.5", **more: Any
) -> pd.DataFrame:
    """One site an interval."""
    return pd.DataFrame([
        {"model": "m", "site": f"site{n}", "layer": 0, "data.name": "d", "evaluation.id": "e", "d_sae_baseline": 1536,
         "d_sae_gated": 1024, "comparison": comparison, "ablation": "zero", "noise": noise, "ratio_median": 2.0,
         "ratio_low": low, "ratio_high": high, "alive_baseline": 0.95, "alive_gated": 0.95} | more
        for n, (low, high) in enumerate(intervals)
    ])  # fmt: skip


def points(gated: list[float], baseline: list[float], alive: float = 1.0, site: str = "s") -> pd.DataFrame:
    gammas = [*(("gated", g) for g in gated), *(("baseline", g) for g in baseline)]
    return pd.DataFrame([
        dict.fromkeys(PANEL, site) | {"architecture": arm, "gamma": gamma, "alive_fraction": alive, "on_frontier": True}
        for arm, gamma in gammas
    ], columns=[*PANEL, "architecture", "gamma", "alive_fraction", "on_frontier"],
    ).astype({"on_frontier": bool})  # fmt: skip


@pytest.mark.parametrize(
    ("intervals", "above", "half"),
    [
        ([(1.6, 2.4), (1.7, 2.9)], "supported", "supported"), ([(1.1, 1.4)], "supported", "contradicted"),
        ([(0.9, 1.6)], "undecided", "undecided"), ([(0.5, 0.8)], "contradicted", "contradicted"),
        ([(1.6, 2.4), (0.5, 0.8)], "undecided", "undecided"), ([(2.5, 3.5)], "supported", "undecided"),
        ([(3.2, 4.0), (2.5, 3.5)], "supported", "contradicted"), ([(NAN, NAN)], "undecided", "undecided"),
        ([], "undecided", "undecided"),
    ],
)  # fmt: skip
def test_verdicts_on_ratios(intervals: list[tuple[float, float]], above: str, half: str) -> None:
    table = ratios(*intervals) if intervals else ratios((1, 2)).iloc[:0]
    first, _, third = claims(table, points([], []))
    assert (first.verdict, third.verdict) == (above, half)


def test_seeds_must_agree_where_they_were_measured() -> None:
    both = pd.concat([ratios((1.6, 2.4)), ratios((0.8, 3.0), noise="seeds")])
    assert claims(both, points([], []))[0].verdict == "undecided"
    agreeing = pd.concat([ratios((1.6, 2.4)), ratios((1.5, 2.9), noise="seeds")])
    assert claims(agreeing, points([], []))[0].verdict == "supported"
    unmeasured = pd.concat([ratios((1.6, 2.4)), ratios((NAN, NAN), noise="seeds")])
    assert claims(unmeasured, points([], []))[0].verdict == "supported"
    assert claims(ratios((1.6, 2.4), noise="seeds"), points([], []))[0].verdict == "undecided"


def test_refused_ratios_and_dead_features_do_not_count() -> None:
    refused = pd.concat([ratios((1.6, 2.4)), ratios((NAN, NAN), ratio_median=NAN, site="other")])
    assert claims(refused, points([], []))[0].verdict == "supported"
    half = claims(ratios((1.6, 2.4), alive_gated=0.5), points([], []))[2]
    assert half.verdict == "undecided" and "1 left out for dead features" in half.because


def test_the_papers_width_comes_first() -> None:
    table = pd.concat([ratios((1.6, 2.4)), ratios((0.5, 0.8), comparison="equal_width")])
    assert claims(table, points([], []))[0].verdict == "supported"
    assert claims(table[table["comparison"] == "equal_width"], points([], []))[0].verdict == "contradicted"


@pytest.mark.parametrize(
    ("gated", "baseline", "expected"),
    [
        ([1.0, 1.01, 0.99], [0.8, 0.9, 0.9], "supported"), ([0.9, 0.95, 0.9], [0.8, 0.9, 0.9], "contradicted"),
        ([1.0, 1.1, 0.99], [0.8, 0.9, 0.9], "undecided"), ([1.0] * 3, [0.99] * 3, "undecided"),
        ([1.0] * 3, [0.8] * 2, "undecided"), ([1.0] * 3, [], "undecided"),
    ],
)  # fmt: skip
def test_verdicts_on_shrinkage(gated: list[float], baseline: list[float], expected: str) -> None:
    assert claims(ratios((1, 2)), points(gated, baseline))[1].verdict == expected
    assert claims(ratios((1, 2)), points(gated, baseline, alive=0.5))[1].verdict == "undecided"


def test_points_of_sites_without_the_other_arm_do_not_count() -> None:
    apart = pd.concat([points([1.0] * 3, []), points([], [0.8] * 3, site="other")])
    assert claims(ratios((1, 2)), apart)[1].verdict == "undecided"


def test_the_rule_stands_beside_the_word() -> None:
    for line in lines(claims(ratios((1.6, 2.4)), points([1.0], [np.nan]))):
        assert line.startswith("- **") and "\n  Rule: " in line
