"""Which learning rate is chosen, and what is said of it: known fronts."""

import numpy as np
import pandas as pd
import pytest

from docs.generate.learning_rates import choices, document
from pipeline.analysis.frontier import KEY
from pipeline.errors import UserError

LOW, HIGH = 5, 50
Points = list[tuple[float, float]]


def runs(architecture: str, site: str, fronts: dict[float, Points], seed: int = 0) -> pd.DataFrame:
    """A row a point of each rate's front, (L0, loss recovered)."""
    rows = [
        dict.fromkeys(KEY, "x") | {
            "run": f"{architecture}-{site}-{rate}-{n}-{seed}", "architecture": architecture, "site": site, "d_sae": 8,
            "train.lr": rate, "sparsity_coefficient": float(n), "seed": seed, "l0": l0, "loss_recovered": recovered,
            "eval.split": "validation", "eval.sequences": 390, "status": "done",
        }
        for rate, points in fronts.items()
        for n, (l0, recovered) in enumerate(points)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def line(level: float, low: float = 2, high: float = 200) -> Points:
    """Loss recovered that rises by 0.1 a decade from `level` at L0 = 1."""
    return [(l0, level + 0.1 * np.log10(l0)) for l0 in (low, (low * high) ** 0.5, high)]


MIDDLE = 0.1 * np.log10((LOW * HIGH) ** 0.5)
"""What such a line adds on average over the range, evenly in log L0."""


def test_the_highest_mean_over_the_range_is_chosen_and_the_runner_up_is_said() -> None:
    (choice,) = choices(runs("gated", "mlp_out", {1e-3: line(0.6), 2e-3: line(0.7), 4e-3: line(0.68)}))
    assert choice.best_first == [2e-3, 4e-3, 1e-3] and choice.reach == pytest.approx((LOW, HIGH))
    assert choice.recovered == pytest.approx({1e-3: 0.6 + MIDDLE, 2e-3: 0.7 + MIDDLE, 4e-3: 0.68 + MIDDLE})
    assert not choice.is_at_edge


def test_each_arm_and_site_has_its_own() -> None:
    table = pd.concat(
        runs(arm, site, {rate: line(0.7 if rate == best else 0.6) for rate in (1e-3, 2e-3, 4e-3)})
        for arm, site, best in (("gated", "a", 1e-3), ("gated", "b", 2e-3), ("baseline", "a", 4e-3))
    )
    found = {(choice.architecture, choice.site): choice.best_first[0] for choice in choices(table)}
    assert found == {("gated", "a"): 1e-3, ("gated", "b"): 2e-3, ("baseline", "a"): 4e-3}


def test_dominated_runs_count_for_nothing() -> None:
    with_bad = [*line(0.7), (30.0, 0.1), (300.0, 0.2)]
    (choice,) = choices(runs("gated", "a", {1e-3: with_bad, 2e-3: line(0.69)}))
    assert choice.recovered[1e-3] == pytest.approx(0.7 + MIDDLE) and choice.best_first[0] == 1e-3


def test_fronts_that_reach_less_narrow_the_range_unless_another_is_above_them_everywhere() -> None:
    """Between 10 and 40 the first is at 0.72, the second on a line through 0.7 at 20: they cross, both are left."""
    flat, steep = [(10.0, 0.72), (80.0, 0.721)], [(2.0, 0.5), (20.0, 0.7), (40.0, 0.9)]
    (choice,) = choices(runs("gated", "a", {1e-3: flat, 2e-3: steep, 4e-3: line(0.1, 8, 9)}))
    assert choice.reach == pytest.approx((10, 40), rel=0.02)
    assert np.isnan(choice.recovered[4e-3]), "it reaches less than is compared"
    inside = np.linspace(np.log(choice.reach[0]), np.log(choice.reach[1]), 2001)
    for rate, points in ((1e-3, flat), (2e-3, steep)):
        x, y = np.log([l0 for l0, _ in points]), [recovered for _, recovered in points]
        assert choice.recovered[rate] == pytest.approx(np.interp(inside, x, y).mean(), abs=1e-3)
    (alone,) = choices(runs("gated", "a", {1e-3: line(0.5), 2e-3: line(0.4, 8, 9)}))
    assert alone.reach == pytest.approx((LOW, HIGH)) and alone.best_first == [1e-3]


def test_fronts_without_an_l0_in_common_choose_nothing() -> None:
    (choice,) = choices(runs("gated", "a", {1e-3: line(0.5, 2, 8), 2e-3: line(0.5, 9, 90)}))
    assert choice.best_first == []
    page = document(runs("gated", "a", {1e-3: line(0.5, 2, 8), 2e-3: line(0.5, 9, 90)}))
    assert "| gated | a | no L0 in common |  |  | none |  |" in page


def test_a_dead_or_unfinished_run_is_no_point_and_seeds_are_averaged() -> None:
    dead = runs("gated", "a", {1e-3: [*line(0.6), (0.0, -1.0), (np.nan, np.nan)]})
    (choice,) = choices(dead)
    assert choice.recovered[1e-3] == pytest.approx(0.6 + MIDDLE)
    both = pd.concat([runs("gated", "a", {1e-3: line(level)}, seed) for seed, level in enumerate((0.5, 0.6))])
    assert choices(both)[0].recovered[1e-3] == pytest.approx(0.55 + MIDDLE)
    assert "Means over 2 seeds" in document(both)


def test_the_page_says_text_range_distance_and_edge() -> None:
    page = document(runs("gated", "a", {1e-3: line(0.7), 2e-3: line(0.69), 4e-3: line(0.6)}))
    assert "on the validation text: 390 contexts" in page and "One seed: " in page
    row = f"| {0.7 + MIDDLE:.4f} | {0.69 + MIDDLE:.4f} | {0.6 + MIDDLE:.4f} | 0.001 | 0.002, 0.0100 lower |"
    assert f"| gated | a | 5 to 50 {row}" in page
    assert "- The rate chosen for gated at a (0.001) is at the edge of those tried" in page


def test_rates_are_chosen_on_validation_text_alone() -> None:
    on_both = pd.concat([runs("gated", "a", {1e-3: line(0.7)}), runs("gated", "b", {1e-3: line(0.7)})])
    on_both.loc[on_both["site"] == "b", "eval.split"] = "test"
    with pytest.raises(UserError, match=r"eval\.split=validation"):
        document(on_both)
