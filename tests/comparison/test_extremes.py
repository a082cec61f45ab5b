"""Sweeps at the edge of what can be compared."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.comparison import tables
from pipeline.comparison.along import OUTRIGHT, RATIO, SAVED
from pipeline.comparison.questions import judged_by
from tests.comparison.test_random_sweeps import all_found
from tests.factories import Sweep, Text


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_interval_too_wide_for_a_number_is_infinite(tmp_path: Path) -> None:
    """A front that is level at its end goes on level: without a seed it is far off in log L0."""
    sweep = Sweep(tmp_path / "sweeps")
    for seed, moved in enumerate((-0.05, 0.0, 0.05)):
        for lam, l0, recovered in ((2.0, 10.0, 0.5), (1.0, 11.0, 0.8)):
            sweep.run("gated", lam, l0, recovered, seed=seed)
        for lam, l0, recovered in ((2.0, 20.0, 0.6), (1.0, 2000.0, 0.6001)):
            sweep.run("baseline", lam, l0, recovered + moved, seed=seed, draw=seed)
    sweep.write("s")
    found = all_found(sweep.sweeps_dir)
    assert not found.compared[0].fault
    ratio = next(measured.estimate for measured in found.compared[0].measured if measured.kind == RATIO)
    assert ratio is not None and ratio.noise.interval(ratio.median, "both")[1] > np.log(np.finfo(float).max)
    rows = tables.l0_ratios(found.compared)
    row = rows[(rows["noise"] == "both") & (rows["ablation"] == "zero")].iloc[0]
    assert row["ratio_low"] == 0 and row["ratio_high"] == np.inf and row["ratio_median"] > 1


def test_gaps_of_two_units_do_not_share_their_noise(tmp_path: Path) -> None:
    """L0 that scatters over seeds leaves the gap in nats as sure as it is."""
    sweep, text = Sweep(tmp_path / "sweeps"), Text(120, 40)
    for seed, moved in enumerate((0.7, 1.0, 1.3)):
        for lam, l0, recovered in ((2.0, 5.0, 0.80), (1.0, 10.0, 0.81)):
            sweep.run("gated", lam, l0 * moved, recovered, text, seed, noise=0.01, draw=seed)
        for lam, l0, recovered in ((2.0, 400.0, 0.70), (1.0, 500.0, 0.71)):
            sweep.run("baseline", lam, l0 / moved, recovered, text, seed, noise=0.01, draw=seed + 9)
    sweep.write("s")
    (compared,) = all_found(sweep.sweeps_dir, 400).compared
    (gaps,) = (one.estimate for one in compared.measured if one.kind == OUTRIGHT)
    assert gaps is not None and gaps.band is not None
    assert gaps.direction.word == "above" and gaps.direction.p < 0.01
    assert gaps.band.errors[0] > 0.1 and gaps.band.errors[1] < 0.01


@pytest.mark.parametrize(("factor", "judge"), [(1.23, SAVED), (1.27, RATIO)])
def test_a_ratio_along_which_hardly_anything_changes_does_not_judge(tmp_path: Path, factor: float, judge: str) -> None:
    sweep = Sweep(tmp_path / "sweeps")
    for lam, l0, recovered in ((2.0, 10.0, 0.5), (1.0, 10.0 * factor, 0.8)):
        sweep.run("gated", lam, l0, recovered, noise=0.0)
        sweep.run("baseline", lam, l0 * 1.1, recovered, noise=0.0)
    sweep.write("s")
    chosen = judged_by(all_found(sweep.sweeps_dir).compared[0].measured)
    assert chosen is not None and chosen.kind == judge
