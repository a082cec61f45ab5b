"""Sweeps on disk whose truth is known, from their records to the verdicts and the words about them."""

import importlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import plot_pareto
from pipeline.analysis.frontier import frontier
from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import tables
from pipeline.comparison.along import OUTRIGHT, RATIO, SAVED
from pipeline.comparison.arms import Arms
from pipeline.comparison.claims import Claim
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.panel import Panel
from pipeline.comparison.pruning import AS_TRAINED
from pipeline.comparison.questions import DIRECTION, HALF, SHRINKAGE, Answer, judged_by
from pipeline.comparison.shown_claims import by_site
from pipeline.comparison.shown_numbers import ratios
from pipeline.comparison.summary import not_compared, ratio_lines, summary
from tests.factories import Sweep, Text

REPLICATES = 400
Points = Sequence[tuple[float, float]]  # L0, loss recovered
GATED: Points = ((5, 0.6), (10, 0.75), (20, 0.85), (40, 0.92))
BASELINE: Points = tuple((2 * l0, recovered) for l0, recovered in GATED)
"""All along, the baseline needs twice the features."""
SHRUNK, UNBIASED = 0.9, 1.0


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def train(
    sweep: Sweep, architecture: str, points: Points, seeds: int = 1, moved: float = 0.0, noise: float = 0.02,
    **where: Any,
) -> list[Path]:  # fmt: skip
    """One arm; a training moves log L0 and loss recovered of its point at random, by `moved` and a tenth of it."""
    folders = []
    for number, (l0, recovered) in enumerate(points):
        for seed in range(seeds):
            along, off = moved * np.random.default_rng([number, seed, len(architecture)]).normal(size=2)
            shifted = l0 * math.exp(along), recovered + 0.1 * off
            folders.append(sweep.run(architecture, 9.0 - number, *shifted, seed=seed, noise=noise, **where))
    return folders


def both_arms(sweep: Sweep, **where: Any) -> None:
    """The baseline needs twice the features, and shrinks them."""
    train(sweep, "gated", GATED, gamma=UNBIASED, **where)
    train(sweep, "baseline", BASELINE, gamma=SHRUNK, **where)


def found_in(sweep: Sweep, arms: Arms | None = None) -> Findings:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return findings(runs, sweep.sweeps_dir, REPLICATES, read_pruned(sweep.sweeps_dir, runs), arms)


def claim(found: Findings, question: str, candidate: str = "gated", reference: str = "the baseline") -> Claim:
    texts = {
        DIRECTION: f"{candidate.capitalize()} is above {reference}: as faithful with fewer active features.",
        SHRINKAGE: f"{candidate.capitalize()} has no shrinkage, {reference} has.",
        HALF: f"{candidate.capitalize()} needs about half the active features.",
    }
    (judged,) = [one for one in found.claims()[AS_TRAINED] if one.text == texts[question]]
    return judged


def answer(found: Findings, question: str, site: str = "mlp_out", candidate: str = "gated") -> Answer:
    (one,) = [
        one for one in found.answers
        if one.question == question and one.panel.key["site"] == site and one.pair.candidate.architecture == candidate
    ]  # fmt: skip
    return one


def sites(found: Findings, question: str) -> dict[str, str]:
    """What each site says to a claim of the paper's two arms, in the words of summary.md and the page."""
    text = claim(found, question).text
    (table,) = [shown for claimed, shown in by_site(found) if claimed == text]
    assert all(cell in page for page in [summary("s", found)] for row in table.rows for cell in row)
    return dict(zip(table.columns["where"], table.columns[AS_TRAINED], strict=True))


def judged(found: Findings, site: str = "mlp_out") -> Estimate:
    """What the direction at a site was judged by."""
    (one,) = [one for one in found.compared if one.panel.key["site"] == site]
    chosen = judged_by(one.measured)
    assert chosen is not None and chosen.estimate is not None
    return chosen.estimate


# ------------------------------------------------------------------------------------------------------ which is better


def test_what_holds_everywhere_is_supported_for_these_saes(sweep: Sweep) -> None:
    both_arms(sweep)
    both_arms(sweep, site="attn_z")
    found = found_in(sweep)
    for question in (DIRECTION, SHRINKAGE, HALF):
        assert claim(found, question).headline == "supported for these SAEs", question
    assert "Judged on 2 pairs of fronts, 2 sites, 1 layer, 1 model, 1 text (gated" in summary("s", found)
    assert judged(found).median == pytest.approx(math.log(2), abs=0.03)
    assert not not_compared(found)


def test_an_arm_that_loses_outright_at_one_of_two_sites_is_not_supported(sweep: Sweep) -> None:
    both_arms(sweep)
    train(sweep, "gated", ((100, 0.2), (200, 0.3)), site="attn_z")
    train(sweep, "baseline", ((10, 0.6), (20, 0.75)), site="attn_z")
    found = found_in(sweep)
    assert answer(found, DIRECTION).word == "above"
    lost = answer(found, DIRECTION, "attn_z")
    assert lost.word == "below" and judged(found, "attn_z").kind == OUTRIGHT
    assert lost.said == "all points of gated have more features and more loss"
    above = claim(found, DIRECTION)
    assert above.verdict == "mixed" and above.counted == "1 above, 1 below"
    assert sites(found, DIRECTION)["attn_z, layer 1"] == f"below for these SAEs: {lost.said}"
    (line,) = not_compared(found)
    assert line.startswith("attn_z, layer 1: baseline (48) / gated (32) have no ratio: the fronts do not overlap in")
    assert line in summary("s", found).partition("## Not compared")[2]
    assert any(line.endswith(f": below for these SAEs: {lost.said}") for line in ratio_lines(found))


def test_an_arm_that_loses_at_equal_l0_at_one_of_two_sites_is_not_supported(sweep: Sweep) -> None:
    """The fronts share L0 there, but no loss recovered."""
    both_arms(sweep)
    train(sweep, "gated", ((10, 0.2), (40, 0.3)), site="attn_z")
    train(sweep, "baseline", ((10, 0.6), (20, 0.75)), site="attn_z")
    found = found_in(sweep)
    assert answer(found, DIRECTION, "attn_z").word == "below" and judged(found, "attn_z").kind == SAVED
    assert claim(found, DIRECTION).verdict == "mixed" and len(not_compared(found)) == 1


def test_fronts_that_share_nothing_are_left_out_and_keep_a_claim_from_being_supported(sweep: Sweep) -> None:
    """Sparser and less faithful throughout: neither is better."""
    both_arms(sweep)
    train(sweep, "gated", ((5, 0.2), (10, 0.3)), site="attn_z")
    train(sweep, "baseline", ((20, 0.6), (40, 0.75)), site="attn_z")
    found = found_in(sweep)
    apart = answer(found, DIRECTION, "attn_z")
    assert apart.left_out.startswith("the fronts do not overlap") and math.isnan(apart.p)
    table = tables.verdicts(found.answers)
    assert set(table.loc[(table["site"] == "attn_z") & (table["question"] == DIRECTION), "verdict"]) == {"not judged"}
    above = claim(found, DIRECTION)
    assert above.verdict == "undecided" and above.counted == "1 above, 1 not judged"
    assert sites(found, DIRECTION)["attn_z, layer 1"].startswith("not judged: the fronts do not overlap")
    assert any(line.startswith("attn_z, layer 1: baseline (48) / gated (32)") for line in not_compared(found))


def test_fronts_that_cross_are_not_above_by_their_median(sweep: Sweep) -> None:
    """Straight lines: from 2 times fewer features at 0.6 to 2.6 times more at 0.9, crossing at the known place."""
    start, end, slope = math.log(2), -math.log(2.6), 8.0
    recovered = np.linspace(0.6, 0.9, 5)
    x = math.log(10) + slope * (recovered - 0.6)
    fewer = start + (end - start) * (recovered - 0.6) / 0.3
    train(sweep, "baseline", list(zip(np.exp(x), recovered, strict=True)))
    train(sweep, "gated", list(zip(np.exp(x - fewer), recovered, strict=True)))
    found = found_in(sweep)
    one = answer(found, DIRECTION)
    assert one.word == "crossing" and one.supports == "mixed"
    crossing = 0.6 + 0.3 * start / (start - end)
    (place,) = judged(found).direction.changes
    assert place == pytest.approx(crossing, abs=0.01)
    assert f"the estimated fronts cross at loss recovered {place:.3g}" in one.numbers
    assert claim(found, DIRECTION).headline == "mixed for these SAEs"
    (line,) = ratio_lines(found)
    assert (
        "crossing for these SAEs: L0 ratio" in line
        and f"the estimated fronts cross at loss recovered {place:.3g}" in line
    )


def test_equal_arms_are_undecided_under_both_noises(sweep: Sweep) -> None:
    """The baseline's law in both arms, at a width of its own each, with noise of text and of training."""
    for site in ("mlp_out", "attn_z", "resid_post"):
        train(sweep, "gated", BASELINE, 5, 0.1, 0.1, site=site)
        train(sweep, "baseline", BASELINE, 5, 0.1, 0.1, site=site)
    found = found_in(sweep)
    for site in ("mlp_out", "attn_z", "resid_post"):
        one = answer(found, DIRECTION, site)
        assert one.word == "undecided" and one.trainings and one.p > 0.05
        assert judged(found, site).noise.training is not None
    assert claim(found, DIRECTION).headline == "undecided"


def test_an_overlap_as_narrow_as_the_papers_is_judged_at_equal_l0(sweep: Sweep) -> None:
    """docs/gated_paper_tables.csv has loss recovered from 0.9094 to 0.9096 at pythia-2.8b, attn_z 4."""
    train(sweep, "gated", ((24.7, 0.9094), (38.2, 0.9285), (69.8, 0.9482)), noise=1e-4)
    train(sweep, "baseline", ((17.6, 0.8104), (24.2, 0.8412), (62.1, 0.9096)), noise=1e-4)
    found = found_in(sweep)
    (one,) = found.compared
    ratio = next(measured for measured in one.measured if measured.kind == RATIO)
    assert ratio.estimate is not None and ratio.estimate.narrow
    assert math.exp(ratio.estimate.median) == pytest.approx(62.1 / 24.7, rel=0.01)
    by = judged_by(one.measured)
    assert by is not None and (by.kind, by.fidelity) == (SAVED, "delta_ce")
    assert answer(found, DIRECTION).word == "above" and "saves" in answer(found, DIRECTION).said
    assert sites(found, DIRECTION)["mlp_out, layer 1"].startswith("above for these SAEs: gated saves 0.0")
    assert ratios(found).columns["along"] == ["loss recovered 0.909 to 0.910, narrow"]


# ------------------------------------------------------------------------------------------------------------ shrinkage


def test_shrinkage_at_one_site_of_ten_is_no_shrinkage_everywhere(sweep: Sweep) -> None:
    """Pooled over sites, the baseline's gamma would lie below 0.97."""
    names = [f"site{number}" for number in range(10)]
    for site in names:
        train(sweep, "gated", GATED, site=site, gamma=UNBIASED)
        train(sweep, "baseline", BASELINE, site=site, gamma=0.5 if site == "site7" else 0.995)
    found = found_in(sweep)
    assert {site: answer(found, SHRINKAGE, site).word for site in names} == {
        site: "supported" if site == "site7" else "contradicted" for site in names
    }
    said = claim(found, SHRINKAGE)
    assert said.headline == "mixed for these SAEs" and said.counted == "9 contradicted, 1 supported"
    assert sites(found, SHRINKAGE)["site7, layer 1"].startswith("supported for these SAEs: mean gamma gated 1.000")


def test_a_candidate_that_shrinks_at_one_site_of_ten(sweep: Sweep) -> None:
    for number in range(10):
        site = f"site{number}"
        train(sweep, "gated", GATED, site=site, gamma=0.8 if number == 3 else UNBIASED)
        train(sweep, "baseline", BASELINE, site=site, gamma=SHRUNK)
    found = found_in(sweep)
    assert answer(found, SHRINKAGE, "site3").word == "contradicted"
    said = claim(found, SHRINKAGE)
    assert said.verdict == "mixed" and said.counted == "9 supported, 1 contradicted"
    assert sites(found, SHRINKAGE)["site3, layer 1"].startswith("contradicted for these SAEs: mean gamma gated 0.800")


# ------------------------------------------------------------------------------------------------- runs that say little


def test_a_seed_that_died_is_in_no_mean_and_has_a_line(sweep: Sweep) -> None:
    for arm, points in (("gated", GATED), ("baseline", BASELINE)):
        train(sweep, arm, points, 3, 0.02)
    before = tables.l0_ratios(found_in(sweep).compared)
    dead = [
        sweep.run("gated", 9.0, 0.0, 0.0, seed=3).name, sweep.run("baseline", 7.0, 0.0, 0.0, seed=3).name,
        sweep.run("gated", 20.0, 0.0, 0.0, seed=0).name,
    ]  # fmt: skip
    found = found_in(sweep)
    pd.testing.assert_frame_equal(tables.l0_ratios(found.compared), before)
    said = summary("s", found).partition("## No feature fires")[2].partition("##")[0]
    assert sorted(line.split(": ")[1].split(";")[0] for line in said.strip().splitlines()) == sorted(dead)
    assert answer(found, DIRECTION).trainings and answer(found, DIRECTION).word == "above"


def test_where_ablation_helps_loss_recovered_is_refused(sweep: Sweep) -> None:
    """The worst SAE, far worse than none, has the largest loss recovered: a negative number over a negative one."""
    text = Text(gap=-0.3)
    harm = {"gated": (0.3, 0.2, 0.1, 0.05), "baseline": (0.4, 0.3, 0.2, 0.1)}
    for arm, nats in harm.items():
        points = [(l0, 1 + added / 0.3) for l0, added in zip((5, 10, 20, 40), nats, strict=True)]
        train(sweep, arm, [*points, (60, 1 + 1.5 / 0.3)], text=text)
    found = found_in(sweep)
    (one,) = found.compared
    assert set(one.panel.refused) == {"zero", "mean"}
    assert any(
        line.startswith("mlp_out, layer 1: loss recovered by zero ablation is refused: ablating costs -0.")
        and line.endswith("the cross-entropy added takes its place")
        for line in not_compared(found)
    )
    done = found.runs[found.runs["status"] == "done"]
    assert done["loss_recovered"].isna().all() and done["loss_recovered_mean_ablation"].isna().all()
    on_front = " ".join(frontier(found.runs)["run"])
    assert "gated-5-" not in on_front and "gated-6-" in on_front and "baseline-6-" in on_front
    ratio = one.measured[0]
    assert ratio.fidelity == "delta_ce" and ratio.estimate is not None
    assert (-ratio.estimate.high, -ratio.estimate.low) == pytest.approx((0.1, 0.3), rel=0.1)
    assert set(tables.l0_ratios(found.compared)["fidelity"]) == {"delta_ce"}
    assert answer(found, DIRECTION).word == "above"
    assert (
        ratios(found).columns["along"][0].startswith("CE added 0.1") and "loss recovered" not in ratio_lines(found)[0]
    )


def test_where_ablation_hardly_matters_loss_recovered_is_refused(sweep: Sweep) -> None:
    """A gap whose sign the documents leave open."""
    text = Text(gap=0.02, spread=0.3)
    train(sweep, "gated", GATED, text=text)
    train(sweep, "baseline", BASELINE, text=text)
    assert "not clearly more than nothing" in " ".join(not_compared(found_in(sweep)))


def test_half_dead_baselines_are_no_evidence_for_about_half(sweep: Sweep) -> None:
    train(sweep, "gated", GATED, gamma=UNBIASED)
    train(sweep, "baseline", BASELINE, gamma=SHRUNK, alive_fraction=0.5)
    found = found_in(sweep)
    assert answer(found, HALF).left_out == "50% of baseline's features are alive"
    assert claim(found, HALF).headline == "not judged" == claim(found, SHRINKAGE).headline
    assert sites(found, HALF)["mlp_out, layer 1"] == "not judged: 50% of baseline's features are alive"
    assert "0 of baseline's points have 90% of their features alive" in sites(found, SHRINKAGE)["mlp_out, layer 1"]
    assert claim(found, DIRECTION).headline == "supported for these SAEs"
    assert ratios(found).columns["alive"] == ["50% / 95%"]


def test_features_of_which_nobody_knows_whether_they_are_alive(sweep: Sweep) -> None:
    train(sweep, "gated", GATED)
    train(sweep, "baseline", BASELINE, alive_fraction=math.nan)
    found = found_in(sweep)
    unknown = "how many features of baseline are alive is unknown"
    assert answer(found, HALF).left_out == unknown == answer(found, SHRINKAGE).left_out
    assert ratios(found).columns["alive"] == ["unknown / 95%"]


# ------------------------------------------------------------------------------------------------------- which is asked


def test_three_arms_and_another_reference(sweep: Sweep) -> None:
    """The third needs half as many features as the gated, which needs half as many as the baseline."""
    both_arms(sweep)
    train(sweep, "third", [(l0 / 2, recovered) for l0, recovered in GATED], gamma=UNBIASED)
    found = found_in(sweep)
    assert [answer(found, DIRECTION, candidate=name).word for name in ("gated", "third")] == ["above", "above"]
    assert claim(found, DIRECTION, "third").headline == "supported for these SAEs"
    table = tables.l0_ratios(found.compared)
    table = table[
        (table["ablation"] == "zero") & (table["noise"] == "sequences") & (table["comparison"] == "width_1.5")
    ]
    assert dict(zip(table["candidate"], table["ratio_median"], strict=True)) == pytest.approx(
        {"gated": 2, "third": 4}, rel=0.05
    )
    assert not [one for one in found.claims()[AS_TRAINED] if one.text.startswith("Third needs about half")]

    named = found_in(sweep, Arms("gated", ("third",)))
    (only,) = [one for one in named.answers if one.question == DIRECTION]
    assert (only.pair.reference.architecture, only.pair.candidate.architecture) == ("gated", "third")
    assert only.pair.names[0] == "equal_width" and only.word == "above"
    assert claim(named, DIRECTION, "third", "gated").headline == "supported for these SAEs"
    turned = found_in(sweep, Arms("third", ("gated",)))
    assert claim(turned, DIRECTION, "gated", "third").headline == "contradicted for these SAEs"


@pytest.mark.parametrize(("seeds", "scope"), [(1, " for these SAEs"), (2, " for these SAEs"), (3, "")])
def test_only_three_trainings_reach_further_than_these_saes(sweep: Sweep, seeds: int, scope: str) -> None:
    train(sweep, "gated", GATED, seeds, 0.005, gamma=UNBIASED)
    train(sweep, "baseline", BASELINE, seeds, 0.005, gamma=SHRUNK)
    found = found_in(sweep)
    for question in (DIRECTION, SHRINKAGE, HALF):
        assert claim(found, question).headline == f"supported{scope}"
        assert answer(found, question).trainings == (seeds == 3)
    words = summary("s", found)
    assert ("How much another training would change it was not measured" in words) == bool(scope)
    assert ratios(found).columns["verdict"] == [f"above{scope}"]


def test_one_site_without_three_seeds_keeps_all_for_these_saes(sweep: Sweep) -> None:
    for site, seeds in (("mlp_out", 3), ("attn_z", 2)):
        train(sweep, "gated", GATED, seeds, 0.005, site=site)
        train(sweep, "baseline", BASELINE, seeds, 0.005, site=site)
    assert claim(found_in(sweep), DIRECTION).headline == "supported for these SAEs"


# ------------------------------------------------------------------------------------------------------ what goes wrong


def fail_at(monkeypatch: pytest.MonkeyPatch, where: str, site_of: Callable[..., str]) -> None:
    """Make a function of ours raise for the panel of attn_z."""
    module, _, name = where.rpartition(".")
    original = getattr(importlib.import_module(module), name)

    def failing(*arguments: Any, **named: Any) -> Any:
        if site_of(*arguments) == "attn_z":
            raise ZeroDivisionError("deep down")
        return original(*arguments, **named)

    monkeypatch.setattr(where, failing)


def _of_panel(panel: Panel, *_: Any) -> str:
    return str(panel.key["site"])


DEEP = {
    "the sums on disk": ("pipeline.comparison.compare.read_documents", lambda _, table: table["site"].iloc[0]),
    "refusals": ("pipeline.comparison.compare.refusals", _of_panel),
    "an estimate": ("pipeline.comparison.measure.estimate", lambda _, panel, *__: _of_panel(panel)),
    "shrinkage": ("pipeline.comparison.compare.shrinkage", _of_panel),
}
"""By what it reads or measures: a function of ours, and how its arguments name the site."""
LATER = {
    "other choices": ("pipeline.comparison.robustness._left_out", _of_panel),
    "pruning": ("pipeline.comparison.pruning._with_pruned", _of_panel),
    "cross-entropy at equal L0": ("pipeline.comparison.vertical._of_pair", _of_panel),
}
"""The same of what comes after the comparison as trained, which stands."""


def two_pruned_sites(sweep: Sweep) -> None:
    for site in ("mlp_out", "attn_z"):
        for arm, points in (("gated", GATED), ("baseline", BASELINE)):
            for folder in train(sweep, arm, points, site=site):
                sweep.prune(folder, {0.1: (0.9, 0.0)})


@pytest.mark.parametrize("where", [*DEEP, *LATER])
def test_a_panel_that_fails_takes_no_other_with_it(sweep: Sweep, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    two_pruned_sites(sweep)
    fail_at(monkeypatch, *(DEEP | LATER)[where])
    found = found_in(sweep)
    assert words_of(found, "mlp_out") == ["above"] and words_of(found, "attn_z") == [
        "above" if where in LATER else "undecided"
    ]
    what = "could not be compared" + " pruned, with other choices, and at equal L0" * (where in LATER)
    line = f"attn_z, layer 1: {what}, by a fault of this program (ZeroDivisionError: deep down)"
    assert line in not_compared(found) and line in summary("s", found)
    assert {one.panel.key["site"] for one in found.robustness} == set(found.at_l0["site"]) == {"mlp_out"}
    assert set(tables.l0_ratios(found.compared)["site"]) == {"mlp_out", *(["attn_z"] if where in LATER else [])}


def plotted(sweep: Sweep, results: Path) -> int:
    return plot_pareto.main([f"sweeps_dir={sweep.sweeps_dir}", f"results_dir={results}", "replicates=100"])


def test_the_command_keeps_the_traceback_of_a_panel_that_failed(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_pruned_sites(sweep)
    sweep.write("s")
    results = tmp_path / "results"
    monkeypatch.setattr("pipeline.report.results.draw_figures", lambda *_: [])
    with monkeypatch.context() as broken:
        fail_at(broken, *DEEP["an estimate"])
        assert plotted(sweep, results) == 0
    faults = (results / "s" / "faults.txt").read_text()
    assert "Traceback" in faults and "ZeroDivisionError: deep down" in faults
    said = capsys.readouterr()
    assert "attn_z, layer 1: could not be compared, by a fault of this program" in said.out
    assert "Traceback" not in said.out + said.err
    assert set(pd.read_csv(results / "s" / "l0_ratio.csv")["site"]) == {"mlp_out"}
    assert plotted(sweep, results) == 0 and not (results / "s" / "faults.txt").exists()


def words_of(found: Findings, site: str) -> list[str]:
    """Directions at a site, as trained."""
    asked = [one for one in found.answers if one.question == DIRECTION and one.scenario == AS_TRAINED]
    return [one.word for one in asked if one.panel.key["site"] == site]


def test_a_sweep_that_fails_takes_no_other_with_it(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both_arms(sweep)
    for name in ("first", "second"):
        sweep.write(name)

    def failing(name: str, found: Findings) -> str:
        if name == "first":
            raise ZeroDivisionError("deep down")
        return summary(name, found)

    monkeypatch.setattr("pipeline.report.results.draw_figures", lambda *_: [])
    monkeypatch.setattr("pipeline.comparison.summary.summary", failing)
    results = tmp_path / "results"
    assert plotted(sweep, results) != 0
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: first: a fault of this program (ZeroDivisionError: deep down)")
    assert "Traceback" in (results / "first" / "faults.txt").read_text() and "Traceback" not in said.err
    assert (results / "second" / "report.html").is_file() and not (results / "second" / "faults.txt").exists()


@pytest.mark.parametrize("replicates", [1, 20, 99])
def test_too_few_draws_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], replicates: int) -> None:
    """A single draw has no spread: equal arms would get a verdict."""
    given = [f"sweeps_dir={tmp_path}", f"results_dir={tmp_path / 'results'}", f"replicates={replicates}"]
    assert plot_pareto.main(given) == 2
    said = f"error: replicates={replicates}: expected 0 (no intervals), or at least 100\n"
    assert capsys.readouterr().err == said and not (tmp_path / "results").exists()
