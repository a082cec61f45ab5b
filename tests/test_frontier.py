"""Frontiers: against the definition by brute force, and the cases that a sort gets wrong."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.frontier import KEY, frontier, frontiers, non_dominated, on_frontier, points


def by_definition(l0: list[float], loss_recovered: list[float]) -> list[bool]:
    points = list(zip(l0, loss_recovered, strict=True))

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:  # NaN compares false: it beats nothing
        return a[0] <= b[0] and a[1] >= b[1] and (a[0] < b[0] or a[1] > b[1])

    return [not any(math.isnan(v) for v in p) and not any(beats(other, p) for other in points) for p in points]


@pytest.mark.parametrize("seed", range(200))
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


def test_frontier_of_no_runs_is_empty() -> None:
    empty = runs(l0=[], loss_recovered=[])
    assert frontier(empty).empty
    assert [*empty.columns, "n_seeds", "runs", "on_frontier"] == list(frontier(empty).columns)
    assert frontiers(empty).empty
