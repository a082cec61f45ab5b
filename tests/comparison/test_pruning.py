"""From synthetic records with pruned evaluations to the comparison with and without pruning."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from pipeline import plot_pareto
from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import pruning, shown_claims, tables
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.summary import summary
from tests.factories import Sweep

REPLICATES = 60
SCENARIOS = ("as trained", "reference pruned", "both pruned")


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def found_in(sweep: Sweep, replicates: int = REPLICATES) -> Findings:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return findings(runs, sweep.sweeps_dir, replicates, read_pruned(sweep.sweeps_dir, runs))


def ratios(found: Findings) -> pd.DataFrame:
    """One row a scenario, and what pruning saves each arm under its own name; by zero ablation, over sequences."""
    rows = pruning.table(found.compared, found.pruned)
    rows = rows[(rows["ablation"] == "zero") & (rows["noise"] == "sequences")]
    rows = rows[rows["comparison"].isin(["width_1.5", "same_arm"])]
    alone = rows["comparison"] == "same_arm"
    return rows.assign(scenario=rows["scenario"].where(~alone, rows["reference"])).set_index("scenario")


def prune_all(sweep: Sweep, folders: list[Path], thresholds: dict[float, tuple[float, float]]) -> None:
    for folder in folders:
        sweep.prune(folder, thresholds)


def test_a_baseline_whose_tiny_activations_are_half_of_all_catches_up(sweep: Sweep) -> None:
    arms = sweep.arms(noise=0.02)
    prune_all(sweep, arms["baseline"], {0.1: (0.5, 0.0), 0.4: (0.45, 0.5)})  # the second is far below the front
    prune_all(sweep, arms["gated"], {0.1: (1.0, 0.0), 0.4: (0.9, 0.5)})
    found = found_in(sweep)
    rows = ratios(found)
    assert sorted(rows.index) == sorted([*SCENARIOS, "baseline", "gated"])
    before = rows.loc["as trained"]
    assert before["ratio_median"] == pytest.approx(2.0, rel=0.02)
    for scenario in SCENARIOS[1:]:
        row = rows.loc[scenario]
        assert row["ratio_median"] == pytest.approx(before["ratio_median"] / 2)
        assert row["ratio_low"] < row["ratio_median"] < row["ratio_high"]
        assert (row["fidelity_low"], row["fidelity_high"]) == (before["fidelity_low"], before["fidelity_high"])
    assert rows.loc["baseline", "ratio_median"] == pytest.approx(2)
    assert rows.loc["gated", "ratio_median"] == pytest.approx(1)
    said = shown_claims.verdicts(found)
    assert tuple(said.columns) == ("claim", *SCENARIOS)
    above, _, half = said.rows
    assert above[1:] == ("supported for these SAEs: 1 above", *["undecided: 1 undecided"] * 2)
    assert half[1:] == (
        "supported for these SAEs: 1 supported", *["contradicted for these SAEs: 1 contradicted"] * 2
    )  # fmt: skip
    assert {above[0], half[0]} <= {line.partition(" As trained: ")[0] for line in shown_claims.turned(found)}
    said = "mlp_out, layer 1: pruning alone saves {} {}% ({}% to {}%) of its L0, the median along its front".format
    saved = pruning.saved_alone(found.pruned)
    for arm, width, share in (("baseline", 48, 50.0), ("gated", 32, 0.0)):
        low, high = (100 * (1 - 1 / rows.loc[arm, f"ratio_{end}"]) for end in ("low", "high"))
        assert said(f"{arm} ({width})", share, f"{low:.1f}", f"{high:.1f}") in saved


def test_verdicts_as_trained_and_pruned_are_one_family(sweep: Sweep) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"] + arms["gated"], {0.1: (0.9, 0.0)})
    found = found_in(sweep)
    asked = [answer for answer in found.answers if np.isfinite(answer.p)]
    assert {answer.scenario for answer in asked} == set(SCENARIOS)
    assert {answer.family for answer in asked} == {len(asked)}


def test_the_interval_of_a_pruned_arm_is_that_of_its_points(sweep: Sweep) -> None:
    """Where one threshold is best for every run, it is as though these were the runs."""
    arms = sweep.arms(noise=0.3)
    prune_all(sweep, arms["baseline"], {0.1: (0.8, 0.0)})
    found = ratios(found_in(sweep)).loc["reference pruned"]
    other = Sweep(sweep.sweeps_dir.parent / "other")
    for folder in other.arms(noise=0.3)["baseline"]:
        sums = load_file(folder / "sequences.safetensors")
        save_file(sums | {"l0": 0.8 * sums["l0"]}, folder / "sequences.safetensors")
        text = (folder / "metrics.json").read_text()
        l0 = sums["l0"].sum() / sums["tokens"].sum()
        assert text.count(f'"l0": {l0}') == 1
        (folder / "metrics.json").write_text(text.replace(f'"l0": {l0}', f'"l0": {0.8 * l0}'))
    other.write("s")
    alone = tables.l0_ratios(found_in(other).compared)
    (row,) = alone[alone.ablation.eq("zero") & alone.noise.eq("sequences") & alone.comparison.eq("width_1.5")].to_dict(
        "records"
    )
    for name in ("ratio_median", "ratio_low", "ratio_high", "fidelity_low", "fidelity_high"):
        assert found[name] == pytest.approx(row[name], rel=1e-6), name
    assert np.isfinite(found["ratio_low"])


def test_thresholds_that_only_hurt_change_nothing(sweep: Sweep) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"] + arms["gated"], {0.1: (1.0, 0.05), 0.2: (1.0, 0.6)})
    found = found_in(sweep)
    rows = ratios(found)
    for scenario in SCENARIOS[1:]:
        for name in ("ratio_median", "ratio_low", "ratio_high"):
            assert rows.loc[scenario, name] == pytest.approx(rows.loc["as trained", name])
    assert (rows.loc[["baseline", "gated"], ["ratio_median", "ratio_low", "ratio_high"]] == 1).all(axis=None)
    directions = [answer for answer in found.answers if answer.question == "direction"]
    assert len({answer.word for answer in directions}) == 1 and len(directions) == 3


def test_pruning_never_makes_a_front_worse(sweep: Sweep) -> None:
    rng = np.random.default_rng(5)
    arms = sweep.arms(noise=0.2)
    for folder in arms["baseline"] + arms["gated"]:
        sweep.prune(folder, {0.1 * (1 + n): (rng.uniform(0.6, 1.0), rng.uniform(0, 0.05)) for n in range(3)})
    rows = ratios(found_in(sweep))
    gains = rows.loc[["baseline", "gated"], "ratio_median"]
    assert (gains >= 1).all() and (gains > 1).any()
    one, two, both = (rows.loc[scenario, "ratio_median"] for scenario in SCENARIOS)
    assert two < one and two <= both


def test_one_arm_pruned_is_compared_with_what_there_is(sweep: Sweep) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"], {0.1: (0.9, 0.0)})
    rows = ratios(found_in(sweep))
    assert set(rows.index) == {"as trained", "reference pruned", "baseline"}


def test_without_sequences_there_are_ratios_and_no_intervals(sweep: Sweep) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"], {0.1: (0.9, 0.0)})
    found = found_in(sweep, replicates=0)
    rows = ratios(found)
    assert {answer.word for answer in found.answers} == {"undecided"}
    assert all(answer.left_out for answer in found.answers)
    assert rows["ratio_median"].notna().all() and rows["ratio_low"].isna().all()


def test_seeds_are_averaged_at_each_threshold(sweep: Sweep) -> None:
    arms = sweep.arms(seeds=5, noise=0.02)
    prune_all(sweep, arms["baseline"], {0.1: (0.5, 0.0)})
    found = found_in(sweep)
    rows = pruning.table(found.compared, found.pruned)
    row = rows[rows.scenario.eq("reference pruned") & rows.noise.eq("seeds") & rows.ablation.eq("zero")].iloc[0]
    assert row["n_seeds"] == 5 and row["ratio_median"] == pytest.approx(1, rel=0.03)
    assert row["ratio_low"] < row["ratio_median"] < row["ratio_high"]


@pytest.mark.slow
def test_the_command_writes_both_ways_and_says_so(sweep: Sweep, tmp_path: Path) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"], {0.1: (0.5, 0.0), 0.2: (0.4, 0.5)})
    sweep.write("s")
    folders = [f"sweeps_dir={sweep.sweeps_dir}", f"results_dir={tmp_path / 'results'}", "replicates=100"]
    assert plot_pareto.main(folders) == 0
    results = tmp_path / "results" / "s"
    assert {p.name for p in results.glob("*pruning*")} == {"pruning.csv"} | {
        f"figure_pruning.{kind}" for kind in ("csv", "png", "svg", "pdf")
    }
    words = (results / "summary.md").read_text()
    assert "## Pruned at inference" in words and "reference pruned" in words.partition("## Claims")[2]
    assert set(pd.read_csv(results / "verdicts.csv")["scenario"]) == {"as trained", "reference pruned"}
    points = pd.read_csv(results / "figure_pruning.csv")
    assert points["architecture"].value_counts().to_dict() == {"baseline": 4, "baseline, pruned": 12}
    pruned = points[points["architecture"] == "baseline, pruned"]
    assert set(pruned.loc[pruned["on_frontier"], "prune_below"]) == {0.1, 0.2}
    assert points[points["architecture"] == "baseline"]["on_frontier"].all()


@pytest.mark.slow
def test_without_thresholds_there_is_nothing_of_it(sweep: Sweep, tmp_path: Path) -> None:
    sweep.arms()
    found = found_in(sweep)
    assert not found.pruned.scenarios and not found.pruned.alone and "runed" not in summary("s", found)
    folders = [f"sweeps_dir={sweep.sweeps_dir}", f"results_dir={tmp_path / 'results'}", "replicates=0"]
    assert plot_pareto.main(folders) == 0
    assert not list((tmp_path / "results" / "s").glob("*pruning*"))
    assert "Pruned" not in (tmp_path / "results" / "s" / "summary.md").read_text()
