"""Cross-entropy added at given L0: straight-line fronts, whose values are known everywhere."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from pipeline.analysis.curves import Floats
from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import bootstrap
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.shown import NOTHING
from pipeline.comparison.shown_numbers import ce_at_l0
from pipeline.comparison.t_distribution import t_quantile
from pipeline.comparison.vertical import COLUMNS, _read, _slopes
from tests.factories import Sweep

REPLICATES = 100
LOST = {"baseline": (0.5, 0.10), "gated": (0.4, 0.09)}
"""By arm: share of the gap that is lost at L0 = 1, and how much less an e-fold of L0 leaves."""


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def lost(arm: str, l0: float) -> float:
    start, slope = LOST[arm]
    return start - slope * math.log(l0)


def train(sweep: Sweep, arm: str, l0s: tuple[float, ...], seed: int = 0, moved: float = 0.0) -> None:
    for number, l0 in enumerate(l0s):
        sweep.run(arm, 9.0 - number, l0, 1 - lost(arm, l0) - moved, seed=seed, noise=0.0)


def found_in(sweep: Sweep) -> Findings:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return findings(runs, sweep.sweeps_dir, REPLICATES, read_pruned(sweep.sweeps_dir, runs))


def rows(found: Findings, noise: str = "sequences") -> pd.DataFrame:
    at = found.at_l0[(found.at_l0["noise"] == noise) & (found.at_l0["comparison"] == "width_1.5")]
    return at.set_index(["l0", "arm"])


def gap(sweep: Sweep) -> float:
    clean, ablated = (load_file(sweep.sweeps_dir / "shared" / f"{name}0.safetensors") for name in ("clean", "ablated"))
    return float((ablated["ce_zero"] - clean["ce_clean"]).sum() / clean["predictions"].sum())


def test_values_of_straight_lines(sweep: Sweep) -> None:
    train(sweep, "baseline", (4, 12, 60))
    train(sweep, "gated", (4, 25, 60))
    found = found_in(sweep)
    table, nats = rows(found), gap(sweep)
    assert list(found.at_l0.columns) == list(COLUMNS)
    middle = math.sqrt(5 * 30)  # the average over log L0 of a straight line
    for name, l0 in (("10", 10), ("20", 20), ("50", 50), ("5 to 30", middle)):
        values = {"reference": nats * lost("baseline", l0), "candidate": nats * lost("gated", l0)}
        values["difference"] = values["reference"] - values["candidate"]
        for arm, value in values.items():
            row = table.loc[(name, arm)]
            assert row["ce_added"] == pytest.approx(value, rel=1e-6), (name, arm)
            clean = found.runs["ce_clean"].iloc[0]
            assert row["share_of_clean"] == pytest.approx(value / clean, rel=1e-6)


def test_a_redrawn_front_goes_on_with_the_slopes_of_the_estimates_own() -> None:
    x, y = np.log([[4.0, 12.0, 60.0], [6.0, 12.0, 40.0]]), np.array([[-0.5, -0.3, -0.2], [-0.45, -0.3, -0.25]])

    def arm(rows: slice) -> tuple[Floats, Floats]:
        return x[rows], y[rows]

    first, last = _slopes(arm)
    assert (first, last) == pytest.approx((0.2 / math.log(3), 0.1 / math.log(5)))
    for l0, value in ((5.0, 0.45 + first * math.log(6 / 5)), (50.0, 0.25 - last * math.log(50 / 40))):
        assert -_read(arm, np.log([l0]), slice(1, 2), (first, last)) == pytest.approx(np.array([[value]]))
        assert np.isnan(_read(arm, np.log([l0]), slice(1, 2), None)).all()


def test_an_interval_is_that_of_the_gap_where_all_losses_are_shares_of_it(sweep: Sweep) -> None:
    """L0 and shares have no noise, so that every redrawn difference is a share of the redrawn gap."""
    train(sweep, "baseline", (4, 12, 60))
    train(sweep, "gated", (4, 25, 60))
    found = found_in(sweep)
    clean, ablated = (load_file(sweep.sweeps_dir / "shared" / f"{name}0.safetensors") for name in ("clean", "ablated"))
    document = np.unique(clean["document"], return_inverse=True)[1]
    gaps = np.bincount(document, ablated["ce_zero"] - clean["ce_clean"])
    predictions = np.bincount(document, clean["predictions"])
    drawn = bootstrap.weights(12, REPLICATES)
    values = (drawn @ gaps) / (drawn @ predictions)
    factor = math.sqrt(12 / 11) * t_quantile(0.975, 11) / 1.959964
    ends = values[0] + factor * np.quantile(values[1:] - values[0], [0.025, 0.975])
    share = lost("baseline", 20) - lost("gated", 20)
    row = rows(found).loc[("20", "difference")]
    assert (row["ce_added_low"], row["ce_added_high"]) == pytest.approx(tuple(share * ends), rel=1e-6)


def test_where_a_front_does_not_reach_there_is_a_reason(sweep: Sweep) -> None:
    train(sweep, "baseline", (12, 60))
    train(sweep, "gated", (4, 25))
    found = found_in(sweep)
    table = rows(found)
    assert pd.isna(table.loc[("10", "reference"), "ce_added"]) and table.loc[("10", "candidate"), "ce_added"] > 0
    assert table.loc[("10", "reference"), "note"] == "not at L0 10: baseline reaches L0 12 to 60"
    assert pd.isna(table.loc[("10", "difference"), "ce_added_low"])
    apart = table.loc[("5 to 30", "difference"), "note"]
    assert apart == "not at L0 5 to 30: baseline reaches L0 12 to 60, gated reaches L0 4 to 25"
    shown = {row[1]: row[2:] for row in ce_at_l0(found).rows}
    assert shown["10"][0] == shown["10"][2] == NOTHING != shown["10"][1] and NOTHING not in shown["20"]


def test_seeds_of_one_arm_give_the_jackknife_of_their_mean(sweep: Sweep) -> None:
    moves = (0.0, 0.01, -0.02, 0.005)
    for seed, moved in enumerate(moves):
        train(sweep, "baseline", (4, 60), seed, moved)
        train(sweep, "gated", (4, 60), seed)
    found = found_in(sweep)
    error = gap(sweep) * np.std(moves, ddof=1) / 2
    seeds = rows(found, "seeds")
    for arm, half in (("reference", t_quantile(0.975, 3) * error), ("candidate", 0.0)):
        row = seeds.loc[("20", arm)]
        assert row["n_seeds"] == 4
        assert row["ce_added_high"] - row["ce_added"] == pytest.approx(half, rel=1e-6, abs=1e-12)
    both, text = rows(found, "both").loc[("20", "reference")], rows(found).loc[("20", "reference")]
    assert both["ce_added_low"] < text["ce_added_low"]


def test_without_any_cross_entropy_there_is_nothing(sweep: Sweep) -> None:
    train(sweep, "baseline", (4, 60))
    train(sweep, "gated", (4, 60))
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s").assign(ce_sae=np.nan)
    assert findings(runs, None, 0, runs.iloc[:0]).at_l0.empty
