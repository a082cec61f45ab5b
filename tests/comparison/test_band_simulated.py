"""The band along an interval, and its p-values, against a simulation of their own."""

import statistics
from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis.table import read_sweep
from pipeline.comparison.along import RATIO
from pipeline.comparison.compare import panels
from tests.comparison import brute_noise as noise
from tests.comparison.brute_band import largest_deviations, p_value
from tests.comparison.brute_force import FIDELITY
from tests.comparison.brute_records import by_panel, read_runs
from tests.factories import Sweep, Text

REPLICATES = 1500


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "scatter"), [(1, 0.2), (3, 0.02), (5, 0.1)])
def test_band_and_levels(tmp_path: Path, seeds: int, scatter: float) -> None:
    sweep = Sweep(tmp_path / "sweeps")
    sweep.arms(Text(20, 10), seeds, noise=scatter)
    sweep.write("s")
    (compared,) = panels(read_sweep(sweep.sweeps_dir, "s"), sweep.sweeps_dir, REPLICATES)
    found = next(one.estimate for one in compared.measured if one.kind == RATIO and one.ablation == "zero")
    assert found is not None and found.band is not None

    (arms,) = by_panel(read_runs(sweep.sweeps_dir, "s")).values()
    both = arms["baseline", 48], arms["gated", 32]
    expected = noise.estimate(*both, FIDELITY, "zero")
    assert expected is not None
    by_text = np.array(noise.text_replicates(expected, *both, "zero", compared.panel.drawn[1:]))
    common = list(range(seeds)) if seeds > 1 else []
    by_seed = noise.seed_replicates(expected, *both, "zero", common)
    errors = noise.errors_along(by_text.tolist(), by_seed)
    np.testing.assert_allclose(found.band.errors, errors, atol=1e-9)

    contributions, freedom = noise.pooled_contributions(by_seed), compared.panel.drawn.shape[1] - 1.0
    parts = [(float(by_text.var(0).mean()), freedom)]
    if by_seed:
        training = [noise.jackknife_error(place) ** 2 for place in zip(*by_seed, strict=True)]
        parts.append((statistics.fmean(training), seeds - 1.0))
    rng = np.random.default_rng(1)
    largest = largest_deviations(
        by_text - by_text.mean(0), contributions, errors, noise.satterthwaite(parts), 6000, rng
    )
    multiple = float(np.quantile(largest, 0.95))
    assert found.band.half_width() / found.band.errors == pytest.approx(np.full(200, multiple), rel=0.06)
    for quantile, tolerance in ((0.9, 0.3), (0.95, 0.3), (0.98, 0.4)):
        place = float(np.quantile(largest, quantile))
        assert found.band.p(place) == pytest.approx(p_value(place, largest), rel=tolerance)
