"""240 random sweeps: nothing raises, and what is found equals the brute force."""

import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from pipeline.aggregate import read_pruned, read_sweep
from pipeline.comparison import bootstrap, robustness, summary, tables, vertical
from pipeline.comparison.along import OUTRIGHT, RATIO
from pipeline.comparison.compare import Compared
from pipeline.comparison.direction import UNDECIDED
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.measure import Measured
from pipeline.comparison.noise import KINDS
from pipeline.comparison.panel import Panel
from tests.comparison import brute_noise as noise
from tests.comparison.brute_band import needed
from tests.comparison.brute_force import FIDELITY, LOG_L0, front, outright, points
from tests.comparison.brute_records import ArmKey, by_panel, read_runs
from tests.comparison.random_sweeps import write_random_sweep

REPLICATES = 8
ABSOLUTE = 1e-9
Arms = dict[ArmKey, noise.Arm]


@pytest.mark.parametrize("number", range(240))
def test_equals_the_brute_force(number: int, tmp_path: Path) -> None:
    sweep = write_random_sweep(number, tmp_path / "sweeps")
    found = all_found(sweep.sweeps_dir)
    brute = by_panel(read_runs(sweep.sweeps_dir, "s"))
    for compared in found.compared:
        assert not compared.fault, compared.fault
        arms = brute.get(tuple(compared.panel.key.values()), {})
        check_refusals(compared, arms)
        for measured in compared.measured:
            check(compared.panel, measured, arms)
    check_family(found)


def all_found(sweeps_dir: Path) -> Findings:
    """All that is made of a sweep but for pictures."""
    runs = read_sweep(sweeps_dir, "s")
    found = findings(runs, sweeps_dir, REPLICATES, read_pruned(sweeps_dir, runs))
    tables.with_intervals(found.runs, found.compared)
    for table in (tables.l0_ratios, tables.savings, tables.curves, vertical.ce_at_l0):
        table(found.compared)
    robustness.table(found.robustness)
    summary.summary("s", found)
    return found


def check_refusals(compared: Compared, arms: Arms) -> None:
    """Loss recovered is refused where ablation does not clearly cost something."""
    panel = compared.panel
    run = next(iter(run for arm in arms.values() for point in arm for run in point), None)
    if run is None:
        return
    for ablation in ("zero", "mean"):
        low = run.metrics[f"ce_{ablation}"] - run.metrics["ce_clean"]
        if panel.sums is not None and len(panel.drawn[0]) >= bootstrap.FEWEST_DOCUMENTS:
            with_sums = next(run for arm in arms.values() for point in arm for run in point if run.sums is not None)
            low, _ = noise.gap_interval(with_sums, ablation, panel.drawn)
        assert (ablation in panel.refused) == (low <= 0)


def check(panel: Panel, measured: Measured, arms: Arms) -> None:
    """One pair of fronts, read in one way."""
    reference, candidate = (arms[one.architecture, one.d_sae] for one in measured.pair.fronts)
    fidelity = measured.ablation if measured.ablation and measured.ablation not in panel.refused else "delta_ce"
    assert measured.fidelity == fidelity
    if measured.kind == OUTRIGHT:
        lines = [front(points(arm, lambda run: noise.recorded(run, fidelity))) for arm in (reference, candidate)]
        gaps = outright(*lines)
        assert (measured.estimate is None) == (gaps is None)
        if measured.estimate is not None and gaps is not None:
            np.testing.assert_allclose(measured.estimate.difference, gaps, atol=ABSOLUTE)
        return
    along = FIDELITY if measured.kind == RATIO else LOG_L0
    expected, found = noise.estimate(reference, candidate, along, fidelity), measured.estimate
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    np.testing.assert_allclose(found.at, expected.at, atol=ABSOLUTE)
    np.testing.assert_allclose(found.difference, expected.difference, atol=ABSOLUTE)
    assert found.median == pytest.approx(expected.headline, abs=ABSOLUTE)
    check_noise(panel, found, expected, (reference, candidate), fidelity)


def check_noise(
    panel: Panel, found: Estimate, expected: noise.Estimate, arms: tuple[noise.Arm, noise.Arm], fidelity: str
) -> None:
    """Intervals of the headline, and standard errors along the interval."""
    seeds = noise.seeds_throughout(expected, *arms, fidelity)
    assert found.n_seeds == len(seeds)
    by_seed = noise.seed_replicates(expected, *arms, fidelity, seeds) if len(seeds) >= 3 else []
    if not all(math.isfinite(value) for curve in by_seed for value in curve):
        by_seed = []
    runs = [run for arm in arms for point in arm for run in point]
    by_text: list[list[float]] = []
    if all(run.sums is not None for run in runs) and len(runs[0].sums["tokens"]) >= bootstrap.FEWEST_DOCUMENTS:
        by_text = noise.text_replicates(expected, *arms, fidelity, panel.drawn[1:])
    assert (found.noise.training is None) == (not by_seed)
    assert (found.noise.text is None) == (not by_text)
    lower, upper = [], []
    if by_text:
        freedom = noise.effective_documents(runs[0].sums["predictions"]) - 1
        low, high = noise.text_errors([statistics.median(curve) - expected.headline for curve in by_text])
        lower, upper = [(low, freedom)], [(high, freedom)]
        same(found, "sequences", (lower, upper))
    if by_seed:
        error = noise.jackknife_error([statistics.median(curve) for curve in by_seed])
        own = [(error, len(seeds) - 1.0)]
        same(found, "seeds", (own, own))
        wide = noise.repeat_half(error, len(seeds))
        assert found.noise.repeat(0.0) == pytest.approx((-wide, wide), abs=ABSOLUTE)
        if by_text:
            same(found, "both", (lower + own, upper + own))
    if by_text:
        errors = noise.errors_along(by_text, by_seed)
        assert found.band is not None
        np.testing.assert_allclose(found.band.errors, errors, atol=ABSOLUTE)
        sizes = needed(expected.difference, [max(error, 1e-12) for error in errors])
        if max(sizes.values()) > 1e-6:
            assert found.direction.word == max(sizes, key=lambda word: sizes[word])
    else:
        assert found.band is None


def same(found: Estimate, kind: str, parts: tuple[list[tuple[float, float]], list[tuple[float, float]]]) -> None:
    (name,) = (name for name in KINDS if name == kind)
    ends = found.median - noise.half(parts[0]), found.median + noise.half(parts[1])
    assert found.noise.interval(found.median, name) == pytest.approx(ends, rel=ABSOLUTE, abs=ABSOLUTE)


def check_family(found: Findings) -> None:
    """A question is answered where Holm's procedure over all of them says so."""
    asked = [answer for answer in found.answers if math.isfinite(answer.p)]
    answered = noise.holm([answer.p for answer in asked], 0.05)
    assert [answer.word != UNDECIDED for answer in asked] == [
        said and answer.would_say != UNDECIDED for said, answer in zip(answered, asked, strict=True)
    ]
    assert all(answer.word == UNDECIDED for answer in found.answers if not math.isfinite(answer.p))
