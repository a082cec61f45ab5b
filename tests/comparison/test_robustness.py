"""The headline with other choices: straight lines, on which other choices have known ratios."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import robustness
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.noise import Noise
from pipeline.comparison.robustness import _even_in_log_l0
from pipeline.comparison.summary import summary
from tests.factories import Sweep

RECOVERED = (0.6, 0.7, 0.8, 0.9)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def train(sweep: Sweep, arm: str, factor: float, bent: float = 0.0, **where: Any) -> list[Path]:
    """A straight front in log L0, whose third point needs exp(bent) times the features."""
    bends = (1.0, 1.0, math.exp(bent), 1.0)
    return [
        sweep.run(arm, 4.0 - number, factor * 5 * 2**number * bend, recovered, noise=0.0, **where)
        for number, (recovered, bend) in enumerate(zip(RECOVERED, bends, strict=True))
    ]


def found_in(sweep: Sweep) -> Findings:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return findings(runs, sweep.sweeps_dir, 60, read_pruned(sweep.sweeps_dir, runs))


def choices(found: Findings) -> dict[str, float]:
    """By alternative the ratio of the 1.5 x width pair."""
    (one,) = [one for one in found.robustness if "width_1.5" in one.headline.pair.names]
    return {other.name: other.ratio for other in one.alternatives}


def test_on_parallel_lines_no_choice_moves_the_ratio(sweep: Sweep) -> None:
    train(sweep, "gated", 1.0)
    train(sweep, "baseline", 2.0)
    found = found_in(sweep)
    assert choices(found) and all(ratio == pytest.approx(2) for ratio in choices(found).values())
    assert any(name.startswith("without baseline's lambda ") for name in choices(found))
    assert any(name.startswith("without gated's lambda ") for name in choices(found))
    assert "joined by monotone cubics (PCHIP)" in choices(found)


def test_a_point_that_all_hangs_on_is_named(sweep: Sweep) -> None:
    """Without its bent third point the baseline is a straight line again."""
    train(sweep, "gated", 1.0)
    train(sweep, "baseline", 2.0, bent=0.5)
    found = found_in(sweep)
    assert choices(found)["without baseline's lambda 2"] == pytest.approx(2)
    (one,) = found.robustness
    ends = one.interval()
    assert ends is not None and "without baseline's lambda 2" in {other.name for other in one.outside()}
    assert all(not ends[0] <= other.ratio <= ends[1] for other in one.outside())
    first = summary("s", found).partition("## Claims")[0]
    assert "## Read this first" in first and "2.00 without baseline's lambda 2" in first


def test_other_widths_of_the_reference(sweep: Sweep) -> None:
    train(sweep, "gated", 1.0)
    train(sweep, "baseline", 2.0)
    train(sweep, "baseline", 3.0, expansion=4, seconds=50.0)
    assert choices(found_in(sweep))["by equal_width"] == pytest.approx(3)


def test_pruned_both_ways(sweep: Sweep) -> None:
    train(sweep, "gated", 1.0)
    for folder in train(sweep, "baseline", 2.0):
        sweep.prune(folder, {0.1: (0.75, 0.0)})
    assert choices(found_in(sweep))["reference pruned"] == pytest.approx(1.5)


def test_runs_of_one_training_length_alone(sweep: Sweep) -> None:
    """With 50 steps the baseline needs 3 times as many features; the front over all holds the better ones."""
    train(sweep, "gated", 1.0)
    train(sweep, "baseline", 2.0)
    for arm, factor in (("gated", 1.2), ("baseline", 3.6)):
        for folder in train(sweep, arm, factor, seed=1):
            path = folder / "metrics.json"
            record = json.loads(path.read_text())
            record["settings"]["train"]["steps"], record["settings"]["seed"] = 50, 0
            path.write_text(json.dumps(record))
    found = choices(found_in(sweep))
    assert found["with train.steps=50 alone"] == pytest.approx(3)
    assert found["with train.steps=100 alone"] == pytest.approx(2)


def test_the_table_has_the_headline_first(sweep: Sweep) -> None:
    train(sweep, "gated", 1.0)
    train(sweep, "baseline", 2.0)
    table = robustness.table(found_in(sweep).robustness)
    assert tuple(table.columns) == robustness.COLUMNS and table["alternative"].iloc[0] == "as it is"
    assert table["ratio_median"].iloc[0] == pytest.approx(2)
    assert isinstance(table, pd.DataFrame) and robustness.table([]).empty


def test_weight_even_in_log_l0() -> None:
    """Three quarters of log L0 lie where the log ratio is 0.2, though half of the places do not."""
    candidate = np.concatenate([np.linspace(0, 1, 100), np.linspace(1, 4, 100)])
    differences = np.concatenate([np.full(100, 0.6), np.full(100, 0.2)])
    found = Estimate(
        "ratio", 0.0, 1.0, np.linspace(0, 1, 200), candidate + differences, candidate, Noise(), None, 1, {}
    )
    assert _even_in_log_l0(found) == pytest.approx(math.exp(0.2))
