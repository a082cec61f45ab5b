"""The compute-efficiency hit: a power law comes out exactly, and nothing outside the table comes out at all."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.analysis.compute_efficiency import compute_for, compute_hits, multiplier, read_family
from pipeline.errors import UserError

COMPUTE = np.array([1e18, 1e19, 1e20, 1e21])
FAMILY = (COMPUTE, 40 * COMPUTE**-0.05)


def test_a_power_law_is_read_off_exactly() -> None:
    for compute in (1e18, 3e18, 7e20, 1e21):
        assert compute_for(40 * compute**-0.05, FAMILY) == pytest.approx(compute)
    assert multiplier(40 * 5e20**-0.05, 40 * 1e20**-0.05, FAMILY) == pytest.approx(0.2)
    assert multiplier(3.9, 3.9, FAMILY) == 1.0


@pytest.mark.parametrize(("clean", "sae"), [(3.0, 4.5), (3.8, 6.0), (math.nan, 4.0), (3.8, math.nan)])
def test_what_the_table_does_not_bracket_is_refused(clean: float, sae: float) -> None:
    assert math.isnan(multiplier(clean, sae, FAMILY))


def test_each_run_has_a_multiplier_or_the_reason() -> None:
    runs = pd.DataFrame({
        "run": list("abcd"), "model": "m", "site": "s", "layer": 0, "architecture": "gated", "l0": 1.0,
        "status": ["done", "done", "done", "missing"], "ce_clean": [4.0, 4.0, 1.0, 4.0], "ce_sae": [4.2, 9.0, 4.2, 4.2],
    })  # fmt: skip
    found = compute_hits(runs, FAMILY).set_index("run")
    assert list(found.index) == ["a", "b", "c"]
    assert found.loc["a", "multiplier"] == pytest.approx((4.2 / 4.0) ** -20) and found.loc["a", "note"] == ""
    assert found.loc["b", "note"].endswith("do not bracket ce_sae")
    assert found.loc["c", "note"].endswith("do not bracket ce_clean")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("compute,los\n1,2\n", "no column loss"), ("compute,loss\n1,2\n", "at least two"),
        ("compute,loss\n1,2\n3,x\n", "at least two"), ("compute,loss\n1,2\n2,2\n", "loss must fall"),
        ("compute,loss\n1,2\n1,1\n", "loss must fall"), ("compute,loss\n0,2\n1,1\n", "above 0"), ("", "cannot be read"),
    ],
)  # fmt: skip
def test_a_table_that_is_no_family(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "family.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=expected):
        read_family(path)


def test_a_family_is_sorted(tmp_path: Path) -> None:
    path = tmp_path / "family.csv"
    path.write_text("model,loss,compute\nb,2,1e20\na,3,1e18\n")
    compute, loss = read_family(path)
    assert compute.tolist() == [1e18, 1e20] and loss.tolist() == [3, 2]
    with pytest.raises(UserError, match="cannot be read"):
        read_family(tmp_path / "none.csv")
