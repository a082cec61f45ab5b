"""What a sweep declares and has not finished, or not trained alike: no verdict may pass over it."""

import json
from pathlib import Path

import pytest

from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import shown_claims, shown_numbers, tables
from pipeline.comparison.cautions import cautions
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.pruning import REFERENCE_PRUNED
from pipeline.comparison.summary import not_compared, ratio_lines, summary
from tests.factories import Sweep, Text

TEXT = Text(sequences=90, documents=30)
SITES = ("attn_z", "mlp_out", "resid_post")


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def found_in(sweep: Sweep) -> Findings:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return findings(runs, sweep.sweeps_dir, 200, read_pruned(sweep.sweeps_dir, runs))


def lose(*folders: Path) -> None:
    for folder in folders:
        (folder / "metrics.json").unlink()


def cells(found: Findings, scenario: str = "as trained") -> list[str]:
    """The claims' verdicts: of the direction, shrinkage and about half."""
    return list(shown_claims.verdicts(found).columns[scenario])


# ---------------------------------------------------------------------------------------------------------------- lost


@pytest.mark.parametrize("arms", [("gated",), ("baseline",), ("gated", "baseline")])
def test_a_wholly_lost_site_leaves_a_claim_undecided(sweep: Sweep, arms: tuple[str, ...]) -> None:
    folders = [sweep.arms(TEXT, site=site) for site in SITES]
    assert cells(found_in(sweep))[0] == "supported for these SAEs: 3 above"
    for arm in arms:
        lose(*folders[0][arm])
    found = found_in(sweep)
    assert cells(found)[0] == "undecided: 2 above, 1 not judged"
    assert all("1 not judged" in cell for cell in cells(found))
    why = "; ".join(f"no finished {arm} run there (4 missing)" for arm in arms)
    rows = tables.verdicts(found.answers)
    (row,) = rows[(rows["site"] == "attn_z") & (rows["question"] == "direction")].to_dict("records")
    assert (row["verdict"], row["left_out"]) == ("not judged", why)
    assert (row["comparison"], row["d_sae_reference"], row["d_sae_candidate"]) == ("width_1.5", 48, 32)
    (_, by_site), *_ = shown_claims.by_site(found)
    assert dict(by_site.rows)["attn_z, layer 1"] == f"not judged: {why}"
    assert any(line.startswith("attn_z") and line.endswith(f"not judged: {why}") for line in ratio_lines(found))
    assert f"attn_z, layer 1: baseline / gated (48 / 32) are not judged: {why}." in cautions(found)
    assert "Judged on 2 pairs of fronts, 2 sites" in summary("s", found)


def test_a_lost_site_counts_pruned_too_and_so_does_one_that_was_not_pruned(sweep: Sweep) -> None:
    folders = {site: sweep.arms(TEXT, site=site) for site in SITES}
    for folder in folders["resid_post"]["baseline"]:
        sweep.prune(folder, {0.1: (0.99, 0.0)})
    lose(*folders["attn_z"]["gated"])
    found = found_in(sweep)
    assert cells(found, REFERENCE_PRUNED)[0] == "undecided: 1 above, 2 not judged"
    asked = [one for one in found.answers if one.scenario == REFERENCE_PRUNED and one.question == "direction"]
    assert {one.panel.key["site"]: one.left_out for one in asked} == {
        "attn_z": "no finished gated run there (4 missing)", "mlp_out": "no run was evaluated pruned there",
        "resid_post": "",
    }  # fmt: skip


def test_an_evaluation_without_the_reference_is_not_judged(sweep: Sweep) -> None:
    sweep.arms(TEXT)
    for number, recovered in enumerate((0.6, 0.8)):
        sweep.run("gated", 2.0 - number, 5 * 2**number, recovered, Text(seed=1))
    found = found_in(sweep)
    assert cells(found)[0] == "undecided: 1 above, 1 not judged"
    assert [one.left_out for one in found.answers if one.panel.key["evaluation.id"] == "evaluation1"] == [
        "no baseline run is declared there"
    ] * 3
    rows = tables.verdicts(found.answers)
    assert rows.loc[rows["left_out"] != "", "d_sae_reference"].isna().all()


def test_one_of_two_widths_that_is_lost_leaves_what_it_would_have_been_judged_by(sweep: Sweep) -> None:
    """The paper's comparison comes first where it is declared: equal width does not take its place unseen."""
    wide = sweep.arms(TEXT)["baseline"]
    for number, (l0, recovered) in enumerate(((10, 0.6), (20, 0.75), (40, 0.85), (80, 0.92))):
        sweep.run("baseline", 4.0 - number, l0, recovered, TEXT, expansion=4)
    lose(*wide)
    found = found_in(sweep)
    assert cells(found)[0] == "not judged: at none of 1"
    assert {pair.names[0] for one in found.compared for pair in one.pairs} == {"equal_width"}


def test_an_arm_that_is_declared_at_other_sites_alone_is_asked_there_alone(sweep: Sweep) -> None:
    sweep.arms(TEXT)
    for number, (l0, recovered) in enumerate(((10, 0.6), (20, 0.75), (40, 0.85), (80, 0.92))):
        sweep.run("baseline", 4.0 - number, l0, recovered, TEXT, site="attn_z")
    assert cells(found_in(sweep))[0] == "supported for these SAEs: 1 above"


def test_without_two_arms_the_claims_say_so(sweep: Sweep) -> None:
    sweep.run("baseline", 1, 10, 0.8)
    found = found_in(sweep)
    assert cells(found) == ["not judged: no two arms to compare are finished"] * 3
    assert "| not judged: no two arms" in summary("s", found)


# ---------------------------------------------------------------------------------------------------------- unfinished


def test_a_half_trained_arm_is_said_with_every_verdict(sweep: Sweep) -> None:
    folders = sweep.arms(TEXT, seeds=3)
    said = "baseline: 2 of 4 declared points are finished"
    lose(*(folder for folder in folders["baseline"] if folder.name.split("-")[2] in {"1", "4"}))
    found = found_in(sweep)
    assert all(cell.endswith(f"; at 1 of them {said}") for cell in cells(found)[:1])
    (line,) = ratio_lines(found)
    assert line.partition("; other choices")[0].endswith(f"; {said}")
    assert f"mlp_out, layer 1: {said}." in cautions(found)
    assert shown_numbers.ratios(found).columns["verdict"][0].endswith(f"; {said}")
    assert set(tables.verdicts(found.answers)["unfinished"]) == {said}
    words = summary("s", found)
    assert words.index("## Read this first") < words.index(said) < words.index("## Claims")


def test_points_that_lack_a_seed_are_said_as_runs(sweep: Sweep) -> None:
    folders = sweep.arms(TEXT, seeds=3)
    lose(folders["gated"][0])
    assert cautions(found_in(sweep)) == ["mlp_out, layer 1: gated: 11 of 12 declared runs are finished."]


# ------------------------------------------------------------------------------------------------------------ training


def test_arms_that_were_trained_on_other_numbers_of_tokens_are_compared_and_not_judged(sweep: Sweep) -> None:
    for folder in sweep.arms(TEXT, seeds=3, noise=0.02)["gated"]:
        retrain(folder, 300)
    found = found_in(sweep)
    said = "gated was trained on 3 times the tokens"
    assert all(answer.left_out.endswith(said) and answer.word == "undecided" for answer in found.answers)
    assert cells(found)[0] == "not judged: at none of 1"
    (line,) = ratio_lines(found)
    assert ": L0 ratio 1.99 (" in line and f"not judged: {said}" in line
    assert f"mlp_out, layer 1, baseline / gated (48 / 32): {said}: not judged." in cautions(found)
    rows = tables.verdicts(found.answers)
    assert rows["tokens_candidate_over_reference"].tolist() == [3.0] * len(rows) and rows["p"].isna().all()


@pytest.mark.parametrize(("steps", "judged"), [(109, True), (112, False), (92, True), (90, False)])
def test_a_tenth_more_tokens_is_alike(sweep: Sweep, steps: int, judged: bool) -> None:
    for folder in sweep.arms(TEXT)["gated"]:
        retrain(folder, steps)
    (direction,) = [answer for answer in found_in(sweep).answers if answer.question == "direction"]
    assert (not direction.left_out) == judged


def test_settings_that_vary_within_an_arm_are_named(sweep: Sweep) -> None:
    for folder in sweep.arms(TEXT)["gated"][:2]:
        retrain(folder, 300)
    found = found_in(sweep)
    line = "mlp_out, layer 1: gated: one front mixes train.steps 100 and 300"
    assert line in cautions(found) and line in not_compared(found)


def retrain(folder: Path, steps: int) -> None:
    """As if the run had been trained for so many steps, of 8 tokens each."""
    path = folder / "metrics.json"
    record = json.loads(path.read_text())
    record["settings"]["train"]["steps"], record["training"]["tokens"] = steps, 8 * steps
    path.write_text(json.dumps(record))
