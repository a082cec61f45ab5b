"""240 random sweeps: nothing raises, and what is printed equals the brute force."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.aggregate import read_sweep
from pipeline.comparison import tables
from pipeline.comparison.compare import Measured, Panel, panels
from tests.comparison import brute_noise as noise
from tests.comparison.brute_force import FIDELITY, LOG_L0
from tests.comparison.brute_records import Run, by_panel, read_runs
from tests.comparison.random_sweeps import write_random_sweep

REPLICATES = 8
ABSOLUTE = 1e-9


@pytest.mark.parametrize("number", range(240))
def test_equals_the_brute_force(number: int, tmp_path: Path) -> None:
    sweep = write_random_sweep(number, tmp_path / "sweeps")
    runs = read_sweep(sweep.sweeps_dir, "s")
    found = list(panels(runs, sweep.sweeps_dir, REPLICATES))
    for table in (tables.l0_ratios, tables.delta_ces):
        table(found)
    tables.with_intervals(runs, found)
    brute = by_panel(read_runs(sweep.sweeps_dir, "s"))
    for panel in found:
        arms = brute.get(tuple(panel.key.values()), {})
        for measured in panel.measured:
            check(panel, measured, arms)


def check(panel: Panel, measured: Measured, arms: dict[tuple[str, int], list[list[Run]]]) -> None:
    reference, candidate = (arms[f.architecture, f.d_sae] for f in (measured.pair.baseline, measured.pair.gated))
    along = LOG_L0 if measured.fidelity == "delta_ce" else FIDELITY
    expected = noise.estimate(reference, candidate, along, measured.fidelity)
    curve = measured.curve
    if expected is None or expected.at[0] == expected.at[-1]:
        assert curve is None
        return
    assert curve is not None
    np.testing.assert_allclose(curve.at, expected.at, atol=ABSOLUTE)
    np.testing.assert_allclose(curve.difference[0], expected.difference, atol=ABSOLUTE)
    assert curve.estimate == pytest.approx(expected.headline, abs=ABSOLUTE)
    if measured.deviations is not None:
        drawn = panel.drawn[1:]
        mine = np.array(noise.text_replicates(expected, reference, candidate, measured.fidelity, drawn))
        theirs = curve.difference[1:]
        both = np.isfinite(theirs)
        np.testing.assert_allclose(theirs[both], mine[both], atol=ABSOLUTE)
