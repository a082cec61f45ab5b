"""Frontiers: against the definition by brute force, and the cases that a sort gets wrong."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.analysis.frontier import (
    KEY,
    died,
    died_lines,
    fidelity,
    frontier,
    frontiers,
    non_dominated,
    on_frontier,
    points,
)
from pipeline.analysis.table import table as read
from pipeline.storage.places import BASE
from tests.seeds import over_seeds


def by_definition(l0: list[float], loss_recovered: list[float]) -> list[bool]:
    points = list(zip(l0, loss_recovered, strict=True))

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:  # NaN compares false: it beats nothing
        return a[0] <= b[0] and a[1] >= b[1] and (a[0] < b[0] or a[1] > b[1])

    return [not any(math.isnan(v) for v in p) and not any(beats(other, p) for other in points) for p in points]


@over_seeds(200)
def test_equals_the_definition_with_ties_and_nan(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 30))
    coarse = rng.integers(0, 6, size=(2, count)).astype(float)  # few values: many ties in one coordinate or both
    fine = rng.normal(size=(2, count)) * 100
    values = coarse if seed % 2 else fine
    values[rng.random((2, count)) < 0.1] = np.nan
    assert non_dominated(*values).tolist() == by_definition(*values.tolist())


@pytest.mark.parametrize(
    ("l0", "loss_recovered", "expected"),
    [
        ([], [], []),
        ([5], [0.9], [True]),
        ([5], [math.nan], [False]),
        ([math.nan, 5], [0.9, 0.1], [False, True]),
        ([math.nan, 1, 2], [math.nan, math.nan, 0.5], [False, False, True]),
        ([5, 5], [0.9, 0.9], [True, True]),  # equal points do not beat each other
        ([5, 5], [0.8, 0.9], [False, True]),
        ([4, 5], [0.9, 0.9], [True, False]),
        ([1, 2, 3], [-0.2, 1.3, 1.1], [True, True, False]),  # not clipped
        ([0, 10], [-0.1, 0.5], [True, True]),
    ],
)
def test_small_cases(l0: list[float], loss_recovered: list[float], expected: list[bool]) -> None:
    assert non_dominated(l0, loss_recovered).tolist() == expected


def runs(**columns: list[object]) -> pd.DataFrame:
    count = len(columns["l0"])
    same = {name: ["x"] * count for name in KEY} | {"run": [f"run-{i}" for i in range(count)]}
    same |= {"sparsity_coefficient": list(range(count)), "status": ["done"] * count}
    return pd.DataFrame(same | columns)


@pytest.mark.parametrize("column", KEY)
def test_runs_that_differ_in_a_key_column_do_not_compete(column: str) -> None:
    table = runs(l0=[1.0, 2.0], loss_recovered=[0.9, 0.1])
    assert on_frontier(table).tolist() == [True, False]
    assert on_frontier(table.assign(**{column: ["x", "y"]})).tolist() == [True, True]


def test_a_key_column_without_a_value_is_a_key_like_others() -> None:
    table = runs(l0=[1.0, 2.0, 2.0], loss_recovered=[0.9, 0.1, 0.2])
    table["d_sae"] = [math.nan, math.nan, 4.0]
    assert on_frontier(table).tolist() == [True, False, True]


def test_marks_follow_the_rows_whatever_their_index() -> None:
    table = runs(l0=[3.0, 1.0, 2.0], loss_recovered=[0.5, 0.2, 0.1]).set_index(pd.Index([7, 7, 1]))
    assert on_frontier(table).tolist() == [True, True, False]


def test_frontier_is_sorted_by_key_then_l0() -> None:
    table = runs(l0=[9.0, 3.0, 5.0, 4.0], loss_recovered=[0.9, 0.1, 0.5, 0.05], site=["a", "b", "a", "b"])
    found = frontier(table)
    assert list(zip(found["site"], found["l0"], strict=True)) == [("a", 5.0), ("a", 9.0), ("b", 3.0)]


def test_seeds_are_averaged_before_the_front_is_taken() -> None:
    """The luckiest run beats all others, but its point does not: the mean of its seeds is dominated."""
    table = runs(
        l0=[10.0, 40.0, 19.0, 19.0], loss_recovered=[0.9, 0.5, 0.8, 0.8], sparsity_coefficient=[1, 1, 2, 2],
        seed=[0, 1, 0, 1], **{"train.lr": [1e-3] * 4},
    )  # fmt: skip
    assert on_frontier(table).tolist() == [False, False, True, True]
    (point,) = frontier(table).to_dict("records")
    assert (point["l0"], point["n_seeds"], point["runs"]) == (pytest.approx(19), 2, "run-2 run-3")
    apart = points(table.assign(**{"train.lr": [1e-3, 2e-3, 1e-3, 1e-3]}))  # another setting is another point
    assert apart["n_seeds"].tolist() == [1, 1, 2] and apart["on_frontier"].tolist() == [True, False, False]
    assert points(table)["l0"].tolist() == pytest.approx([20, 19])  # averaged in the logarithm


def test_frontiers_count_what_is_there_and_what_is_not() -> None:
    table = runs(l0=[10.0, 20.0, 30.0, math.nan, math.nan], loss_recovered=[0.5, 0.8, 0.7, math.nan, math.nan])
    table["status"] = ["done", "done", "done", "failed", "missing"]
    (row,) = frontiers(table).to_dict("records")
    expected = {"runs": 5, "points": 3, "dominated": 1, "failed": 1, "missing": 1, "l0_low": 10, "l0_high": 20}
    assert {name: row[name] for name in expected} == expected
    assert row["hypervolume"] == pytest.approx(0.5 * 2 + 0.3 * (3 - math.log10(20)))


def test_a_point_says_of_every_column_what_its_seeds_say() -> None:
    """Two runs of the published sweep as two seeds of one: the settings of the first, what was measured of both."""
    published = pd.read_csv(BASE / "results" / "reference" / "gated_vs_baseline" / "runs.csv")
    first, other = published[published["seed"] == 0].head(2).to_dict("records")
    differing = {"cosine", "norm_ratio", "gamma_dot", "gamma_rms", "fvu", "ce_sae", "training_seconds", "delta_ce"}
    assert first["train.lr"] == other["train.lr"] and all(first[name] != other[name] for name in differing)
    alike = {name: first[name] for name in ("sparsity_coefficient", "sweep")}
    apart = {
        "seed": 1,
        "execution.threads": 2,
        "execution.host": "another",
        "provenance.dirty": not first["provenance.dirty"],
    }
    counted = [{"training_flops": 1e18, "dense_flops": 4e18}, {"training_flops": 3e18, "dense_flops": 4e18}]
    rows = [first | {"execution.threads": 1} | counted[0], other | alike | apart | counted[1]]
    (point,) = points(read(rows)).to_dict("records")
    assert (point["n_seeds"], point["run"], point["runs"]) == (2, first["run"], f"{first['run']} {other['run']}")
    assert point["l0"] == pytest.approx(math.sqrt(first["l0"] * other["l0"]), rel=1e-12)
    means = set()
    for name in {*rows[0]} - {"run", "runs", "l0", "on_frontier"}:
        one, two, found = rows[0][name], rows[1][name], point[name]
        if one == two or (pd.isna(one) and pd.isna(two)):
            assert found == one or pd.isna(found), name
        elif name in {"seed", "execution.threads"} or isinstance(one, str | bool):
            assert pd.isna(found), name
        else:
            assert found == pytest.approx((one + two) / 2, rel=1e-14), name
            means.add(name)
    assert means >= {*differing, "training_flops"} and point["dense_flops"] == 4e18


def of_an_arm(
    l0: list[float], ce_sae: list[float], clean: float = 3.0, zero: float = 4.0, **more: list[object]
) -> pd.DataFrame:
    losses: dict[str, list[object]] = {
        "ce_sae": [*ce_sae], "ce_clean": [clean] * len(l0), "ce_zero": [zero] * len(l0),
        "loss_recovered": [(zero - ce) / (zero - clean) for ce in ce_sae],
    }  # fmt: skip
    return runs(**{"l0": [*l0]} | losses | more)


def test_a_run_that_died_is_out_of_its_point_and_named() -> None:
    """Its L0 of 0 would dominate everything, or pull its point's logarithm to minus infinity."""
    table = of_an_arm([0, 20, 0, 9, 11, 0, 40], [3.1, 3.2, 3.1, 3.3, 3.5, 3.1, math.nan],
                      sparsity_coefficient=[3, 1, 2, 2, 2, 1, 1], seed=[0, 0, 0, 1, 2, 1, 2])  # fmt: skip
    table.loc[6, ["l0", "status"]] = [math.nan, "missing"]
    assert died(table).tolist() == [True, False, True, False, False, True, False]
    found = points(table)
    assert found["runs"].tolist() == ["run-1", "run-3 run-4"] and found["n_seeds"].tolist() == [1, 2]
    assert found["l0"].tolist() == pytest.approx([20, math.sqrt(99)])
    assert found["ce_sae"].tolist() == pytest.approx([3.2, 3.4]) and found["on_frontier"].all()
    assert died_lines(table) == [
        "no feature fires (L0 = 0): run-0; its point is left out",
        "no feature fires (L0 = 0): run-2; its point is the mean of the other seeds",
        "no feature fires (L0 = 0): run-5; its point is that of the other seed",
    ]
    (row,) = frontiers(table).to_dict("records")
    assert (row["runs"], row["points"], row["died"], row["missing"]) == (7, 2, 3, 1)
    assert on_frontier(table).tolist() == [False, True, False, True, True, False, False]


def test_a_finished_run_without_a_number_of_features_died_too_and_an_unfinished_one_did_not() -> None:
    table = runs(l0=[math.nan, math.nan, 5.0], loss_recovered=[0.5, math.nan, 0.5], status=["done", "failed", "done"])
    assert died(table).tolist() == [True, False, False]
    assert died_lines(table) == ["L0 is not a finite number: run-0; its point is left out"]
    nobody = runs(l0=[0.0, 0.0], loss_recovered=[0.5, 0.5])
    assert points(nobody).empty and frontier(nobody).empty and frontiers(nobody)["died"].tolist() == [2]


def test_where_ablation_helps_the_worst_is_not_on_the_front() -> None:
    """ce_zero below ce_clean: the loss recovered of the worst is 6."""
    table = of_an_arm([10, 20, 30], [3.05, 3.02, 3.5], clean=3.0, zero=2.9)
    assert table["loss_recovered"].tolist() == pytest.approx([1.5, 1.2, 6.0])
    assert fidelity(table).tolist() == pytest.approx([-0.05, -0.02, -0.5])
    assert on_frontier(table).tolist() == [True, True, False]
    (row,) = frontiers(table).to_dict("records")
    assert math.isnan(row["hypervolume"]) and row["points"] == 3


def test_a_front_is_ordered_by_cross_entropy_where_it_is_known_for_all_of_it() -> None:
    """A run that is not finished, died, or has neither, takes it from nobody; another key has its own order."""
    table = of_an_arm([10, 20, 30, 0, 5, 10, 20], [3.3, 3.2, 3.25, 3.0, 3.0, 3.0, 3.0])
    table.loc[1, "loss_recovered"] = math.nan  # as where ablation was not measured
    table.loc[3, "ce_sae"] = math.nan
    table.loc[4, ["l0", "ce_sae", "loss_recovered"]] = math.nan
    table["site"] = ["x"] * 5 + ["y"] * 2
    table.loc[5, "ce_clean"] = math.nan
    table.loc[[5, 6], "loss_recovered"] = [0.7, 0.8]
    assert fidelity(table).tolist() == pytest.approx([-0.3, -0.2, -0.25, math.nan, math.nan, 0.7, 0.8], nan_ok=True)
    assert on_frontier(table).tolist() == [True, True, False, False, False, True, True]
    assert points(table)["run"].tolist() == ["run-0", "run-1", "run-2", "run-5", "run-6"]


@over_seeds(30)
def test_where_ablation_costs_both_orders_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = of_an_arm(rng.uniform(1, 100, 20).tolist(), rng.uniform(2.9, 5, 20).tolist())
    by_loss = table.drop(columns=["ce_sae"])
    assert on_frontier(table).tolist() == on_frontier(by_loss).tolist()


def test_frontier_of_no_runs_is_empty() -> None:
    empty = runs(l0=[], loss_recovered=[])
    assert frontier(empty).empty
    assert [*empty.columns, "n_seeds", "runs", "on_frontier"] == list(frontier(empty).columns)
    assert frontiers(empty).empty
