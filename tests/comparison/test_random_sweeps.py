"""240 random sweeps: nothing raises, and what is found equals the brute force."""

import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis.frontier import frontier
from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import bootstrap, robustness, summary, tables, vertical
from pipeline.comparison.along import OUTRIGHT, RATIO, SAVED
from pipeline.comparison.compare import Compared
from pipeline.comparison.direction import UNDECIDED
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.measure import Measured
from pipeline.comparison.noise import KINDS
from pipeline.comparison.panel import Panel
from pipeline.comparison.pruning import BOTH_PRUNED
from pipeline.comparison.questions import judged_by
from tests.comparison import brute_noise as noise
from tests.comparison.brute_band import needed
from tests.comparison.brute_force import FIDELITY, LOG_L0, front, points, read
from tests.comparison.brute_records import ArmKey, by_panel, read_runs, with_pruned
from tests.comparison.brute_records import Panel as PanelKey
from tests.comparison.random_sweeps import write_random_sweep
from tests.factories import Sweep
from tests.seeds import named

REPLICATES = 8
ABSOLUTE = 1e-9
EVERYWHERE = (-math.inf, math.inf)
Arms = dict[ArmKey, noise.Arm]


@pytest.mark.parametrize(
    "numbers",
    [range(10), *(pytest.param(range(n, n + 23), marks=pytest.mark.slow) for n in range(10, 240, 23))],
    ids=str,
)
def test_equals_the_brute_force(numbers: range, tmp_path: Path) -> None:
    for number in numbers:
        with named(number):
            check_all(write_random_sweep(number, tmp_path / str(number)))


def check_all(sweep: Sweep) -> None:
    found = all_found(sweep.sweeps_dir)
    brute = by_panel(read_runs(sweep.sweeps_dir, "s"))
    for compared in found.compared:
        assert not compared.fault, compared.fault
        arms = brute.get(tuple(compared.panel.key.values()), {})
        check_refusals(compared, arms)
        for measured in compared.measured:
            check(compared.panel, measured, arms, arms)
        check_chosen(compared)
        check_gamma(compared, arms)
        check_at_l0(compared, arms)
    for again in found.pruned.scenarios:
        check_pruned(again, brute[tuple(again.panel.key.values())])
    check_frontier(found, brute)
    check_family(found)


def all_found(sweeps_dir: Path, replicates: int = REPLICATES) -> Findings:
    """All that is made of a sweep but for pictures."""
    runs = read_sweep(sweeps_dir, "s")
    found = findings(runs, sweeps_dir, replicates, read_pruned(sweeps_dir, runs))
    tables.with_intervals(found.runs, found.compared)
    for table in (tables.l0_ratios, tables.savings, tables.curves):
        table(found.compared)
    tables.verdicts(found.answers)
    robustness.table(found.robustness)
    summary.summary("s", found)
    return found


def check_frontier(found: Findings, brute: dict[PanelKey, Arms]) -> None:
    """frontier.csv has the points that no other dominates, equal ones each, by the cross-entropy added."""
    table = frontier(found.runs)
    expected = []
    for arms in brute.values():
        for arm in arms.values():
            every = points(arm, lambda run: noise.recorded(run, "delta_ce"))
            line = front(every)
            expected += [point for point in every if point in line]
    rows = zip(np.log(table["l0"]), table["ce_clean"] - table["ce_sae"], strict=True)
    np.testing.assert_allclose(sorted(rows), sorted(expected), atol=ABSOLUTE) if expected else None
    assert len(table) == len(expected)


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


def check_pruned(again: Compared, arms: Arms) -> None:
    """The same with pruned arms, along what the ratio shares as they are."""
    assert not again.fault, again.fault
    pruned = {key: with_pruned(arm) for key, arm in arms.items()}
    candidates = pruned if again.scenario == BOTH_PRUNED else arms
    for measured in again.measured:
        as_trained = None
        if measured.kind == RATIO:
            reference, candidate = (arms[one.architecture, one.d_sae] for one in measured.pair.fronts)
            as_trained = noise.estimate(reference, candidate, FIDELITY, measured.fidelity)
        within = EVERYWHERE if as_trained is None else as_trained.interval
        check(again.panel, measured, pruned, candidates, within)


def check(
    panel: Panel, measured: Measured, references: Arms, candidates: Arms,
    within: tuple[float, float] = EVERYWHERE,
) -> None:  # fmt: skip
    """One pair of fronts, read in one way."""
    fronts = zip((references, candidates), measured.pair.fronts, strict=True)
    reference, candidate = (arms[one.architecture, one.d_sae] for arms, one in fronts)
    fidelity = measured.ablation if measured.ablation and measured.ablation not in panel.refused else "delta_ce"
    assert measured.fidelity == fidelity
    if measured.kind == OUTRIGHT:
        gaps = noise.outright(reference, candidate, fidelity)
        assert (measured.estimate is None) == (gaps is None)
        if measured.estimate is not None and gaps is not None:
            np.testing.assert_allclose(measured.estimate.difference, gaps.difference, atol=ABSOLUTE)
            check_gaps(panel, measured.estimate, gaps, (reference, candidate), fidelity)
        return
    along = FIDELITY if measured.kind == RATIO else LOG_L0
    expected, found = noise.estimate(reference, candidate, along, fidelity, within), measured.estimate
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
    by_text, by_seed = replicates(panel, found, expected, arms, fidelity)
    lower, upper = [], []
    if by_text:
        freedom = noise.effective_documents(arms[0][0][0].sums["predictions"]) - 1
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
            lower, upper = lower + own, upper + own
    if by_text:
        check_level(found, (lower, upper))
        errors = noise.errors_along(by_text, by_seed)
        assert found.band is not None
        np.testing.assert_allclose(found.band.errors, errors, atol=ABSOLUTE)
        sizes = needed(expected.difference, [max(error, 1e-12) for error in errors])
        if max(sizes.values()) > 1e-6:
            assert found.direction.word == max(sizes, key=lambda word: sizes[word])
            assert found.direction.p == pytest.approx(found.band.p(max(sizes.values())), rel=1e-6)
    else:
        assert found.band is None


def replicates(
    panel: Panel, found: Estimate, expected: noise.Estimate | noise.Outright, arms: tuple[noise.Arm, noise.Arm],
    fidelity: str,
) -> tuple[list[list[float]], list[list[float]]]:  # fmt: skip
    """The difference over redrawn documents, and without each seed; empty where that was not to be measured."""
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
    return by_text, by_seed


def check_gaps(
    panel: Panel, found: Estimate, expected: noise.Outright, arms: tuple[noise.Arm, noise.Arm], fidelity: str
) -> None:
    """Standard errors of the two gaps."""
    by_text, by_seed = replicates(panel, found, expected, arms, fidelity)
    assert (found.band is None) == (not by_text)
    if found.band is not None:
        np.testing.assert_allclose(found.band.errors, noise.errors_of_gaps(by_text, by_seed), atol=ABSOLUTE)


def same(found: Estimate, kind: str, parts: tuple[list[tuple[float, float]], list[tuple[float, float]]]) -> None:
    (name,) = (name for name in KINDS if name == kind)
    ends = found.median - noise.half(parts[0]), found.median + noise.half(parts[1])
    assert found.noise.interval(found.median, name) == pytest.approx(ends, rel=ABSOLUTE, abs=ABSOLUTE)


def check_level(found: Estimate, parts: tuple[list[tuple[float, float]], list[tuple[float, float]]]) -> None:
    """At the level of its p-value an interval ends at the limit."""
    low, high = found.noise.p_above(found.median, 0.0), found.noise.p_below(found.median, 0.0)
    if 1e-9 < low < 1:
        assert found.median - noise.half(parts[0], 1 - low) == pytest.approx(0, abs=1e-6)
    if 1e-9 < high < 1:
        assert found.median + noise.half(parts[1], 1 - high) == pytest.approx(0, abs=1e-6)
    assert max(low, high) == 1.0


def check_chosen(compared: Compared) -> None:
    """The ratio judges, unless L0 of neither arm changes by 1.25 along it and there is something saved."""
    for pair in dict.fromkeys(measured.pair for measured in compared.measured):
        read = {m.kind: m.estimate for m in compared.measured if m.pair is pair and m.ablation != "mean"}
        ratio, chosen = read[RATIO], judged_by([m for m in compared.measured if m.pair is pair])
        if ratio is not None and read[SAVED] is not None:
            spans = [max(line) - min(line) for line in (ratio.reference.tolist(), ratio.candidate.tolist())]
            expected = SAVED if max(spans) < math.log(1.25) else RATIO
        else:
            expected = next((kind for kind in (RATIO, SAVED, OUTRIGHT) if read.get(kind) is not None), None)
        assert (chosen and chosen.kind) == expected
        if chosen is not None and chosen.kind == RATIO:
            assert chosen.ablation == "zero"


def check_gamma(compared: Compared, arms: Arms) -> None:
    """Mean gamma over the points on the front with live features, and its intervals."""
    for shrunk in compared.shrinkages:
        both = [arms[one.architecture, one.d_sae] for one in shrunk.pair.fronts]
        kept = [noise.healthy(arm) for arm in both]
        assert shrunk.points == tuple(map(len, kept))
        assert (shrunk.reference is None) == (min(map(len, kept)) < 3)
        if shrunk.reference is None or shrunk.candidate is None:
            continue
        for measured, arm, healthy in zip((shrunk.reference, shrunk.candidate), both, kept, strict=True):
            assert measured.value == pytest.approx(noise.mean_gamma(healthy, None), abs=ABSOLUTE)
            runs = [run for point in arm for run in point]
            if any(run.sums is None for run in runs) or compared.panel.drawn.shape[1] < bootstrap.FEWEST_DOCUMENTS:
                assert measured.noise.text is None
                continue
            sample, *redrawn = [noise.mean_gamma(healthy, times) for times in compared.panel.drawn.tolist()]
            count = compared.panel.drawn.shape[1]
            low, high = noise.text_errors([(value - sample) * math.sqrt(count / (count - 1)) for value in redrawn])
            assert measured.noise.text is not None
            assert (measured.noise.text.low, measured.noise.text.high) == pytest.approx((low, high), abs=ABSOLUTE)


def check_at_l0(compared: Compared, arms: Arms) -> None:
    """The cross-entropy that both arms add at an L0 that both fronts reach."""
    for row in vertical.ce_at_l0([compared]).to_dict("records"):
        if row["noise"] != "both" or row["l0"] not in {"10", "20", "50", "100"}:
            continue
        keys = [(row[name], row[f"d_sae_{name}"]) for name in ("reference", "candidate")]
        added = []
        for key in keys:
            line = front(points(arms[key], lambda run: noise.recorded(run, "delta_ce")))
            added.append(-read(line, LOG_L0, math.log(float(row["l0"]))))
        values = {"reference": added[0], "candidate": added[1], "difference": added[0] - added[1]}
        assert row["ce_added"] == pytest.approx(values[row["arm"]], abs=ABSOLUTE, nan_ok=True)


def check_family(found: Findings) -> None:
    """A question is answered where Holm's procedure over all of them says so."""
    asked = [answer for answer in found.answers if math.isfinite(answer.p)]
    answered = noise.holm([answer.p for answer in asked], 0.05)
    assert [answer.word != UNDECIDED for answer in asked] == [
        said and answer.would_say != UNDECIDED for said, answer in zip(answered, asked, strict=True)
    ]
    assert all(answer.word == UNDECIDED for answer in found.answers if not math.isfinite(answer.p))
