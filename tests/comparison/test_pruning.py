"""From synthetic records with pruned evaluations to the comparison with and without pruning."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from pipeline import plot_pareto
from pipeline.aggregate import read_pruned, read_sweep
from pipeline.comparison import pruning, tables
from pipeline.comparison.compare import panels
from pipeline.comparison.pruning import Pruned, compare_pruned
from tests.comparison.records import Sweep

REPLICATES = 60
PAIRS = [
    ("baseline", "gated"), ("baseline_pruned", "gated"), ("baseline_pruned", "gated_pruned"),
    ("baseline", "baseline_pruned"), ("gated", "gated_pruned"),
]  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def compared(sweep: Sweep, replicates: int = REPLICATES) -> list[Pruned]:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    found = panels(runs, sweep.sweeps_dir, replicates)
    return compare_pruned(found, read_pruned(sweep.sweeps_dir, runs), sweep.sweeps_dir)


def ratios(found: list[Pruned]) -> pd.DataFrame:
    """One row a pair of fronts, by zero ablation and over sequences."""
    rows = pruning.table(found)
    rows = rows[(rows["ablation"] == "zero") & (rows["noise"] == "sequences")]
    rows = rows[rows["comparison"].isin(["width_1.5", "same_arm"])]
    return rows.set_index(["over", "under"])


def prune_all(sweep: Sweep, folders: list[Path], thresholds: dict[float, tuple[float, float]]) -> None:
    for folder in folders:
        sweep.prune(folder, thresholds)


def test_a_baseline_whose_tiny_activations_are_half_of_all_catches_up(sweep: Sweep) -> None:
    arms = sweep.arms(noise=0.02)
    prune_all(sweep, arms["baseline"], {0.1: (0.5, 0.0), 0.4: (0.45, 0.5)})  # the second is far below the front
    prune_all(sweep, arms["gated"], {0.1: (1.0, 0.0), 0.4: (0.9, 0.5)})
    found = compared(sweep)
    rows = ratios(found)
    assert list(rows.index) == PAIRS
    before = rows.loc[("baseline", "gated"), "ratio_median"]
    assert before == pytest.approx(2.0, rel=0.02)
    for pair in PAIRS[1:3]:
        row = rows.loc[pair]
        assert row["ratio_median"] == pytest.approx(before / 2)
        assert row["ratio_low"] < row["ratio_median"] < row["ratio_high"]
        within = rows.loc[PAIRS[0]]
        assert (row["fidelity_low"], row["fidelity_high"]) == (within["fidelity_low"], within["fidelity_high"])
    assert rows.loc[("baseline", "baseline_pruned"), "ratio_median"] == pytest.approx(2)
    assert rows.loc[("gated", "gated_pruned"), "ratio_median"] == pytest.approx(1)
    above, half, line = pruning.lines(found)
    assert above == (
        "Gated is above the baseline: as faithful with fewer active features. supported as they are, "
        "undecided with the baseline pruned, undecided with both pruned: pruning changes this"
    )
    assert half.endswith(
        "supported as they are, contradicted with the baseline pruned, contradicted with both pruned: "
        "pruning changes this"
    )
    assert line.endswith("L0 that pruning alone saves: baseline 50.0%, gated 0.0%")


def test_the_interval_of_a_pruned_arm_is_that_of_its_points(sweep: Sweep) -> None:
    """Where one threshold is best for every run, it is as though these were the runs."""
    arms = sweep.arms(noise=0.3)
    prune_all(sweep, arms["baseline"], {0.1: (0.8, 0.0)})
    found = ratios(compared(sweep)).loc[("baseline_pruned", "gated")]
    other = Sweep(sweep.sweeps_dir.parent / "other")
    for folder in other.arms(noise=0.3)["baseline"]:
        sums = load_file(folder / "sequences.safetensors")
        save_file(sums | {"l0": 0.8 * sums["l0"]}, folder / "sequences.safetensors")
        text = (folder / "metrics.json").read_text()
        l0 = sums["l0"].sum() / sums["tokens"].sum()
        assert text.count(f'"l0": {l0}') == 1
        (folder / "metrics.json").write_text(text.replace(f'"l0": {l0}', f'"l0": {0.8 * l0}'))
    other.write("s")
    alone = tables.l0_ratios(list(panels(read_sweep(other.sweeps_dir, "s"), other.sweeps_dir, REPLICATES)))
    (row,) = alone[alone.ablation.eq("zero") & alone.noise.eq("sequences") & alone.comparison.eq("width_1.5")].to_dict(
        "records"
    )
    for name in ("ratio_median", "ratio_low", "ratio_high", "fidelity_low", "fidelity_high"):
        assert found[name] == pytest.approx(row[name], rel=1e-6), name
    assert np.isfinite(found["ratio_low"])


def test_thresholds_that_only_hurt_change_nothing(sweep: Sweep) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"] + arms["gated"], {0.1: (1.0, 0.05), 0.2: (1.0, 0.6)})
    found = compared(sweep)
    rows = ratios(found)
    before = rows.loc[PAIRS[0]]
    for pair in PAIRS[1:3]:
        for name in ("ratio_median", "ratio_low", "ratio_high"):
            assert rows.loc[pair, name] == pytest.approx(before[name])
    assert (rows.loc[PAIRS[3:], ["ratio_median", "ratio_low", "ratio_high"]] == 1).all(axis=None)
    assert all(line.endswith("pruning does not change this") for line in pruning.lines(found)[:2])


def test_pruning_never_makes_a_front_worse(sweep: Sweep) -> None:
    rng = np.random.default_rng(5)
    arms = sweep.arms(noise=0.2)
    for folder in arms["baseline"] + arms["gated"]:
        sweep.prune(folder, {0.1 * (1 + n): (rng.uniform(0.6, 1.0), rng.uniform(0, 0.05)) for n in range(3)})
    rows = ratios(compared(sweep))
    gains = rows.loc[PAIRS[3:], "ratio_median"]
    assert (gains >= 1).all() and (gains > 1).any()
    one, two, both = rows.loc[PAIRS[:3], "ratio_median"]
    assert two < one and two <= both


def test_one_arm_pruned_is_compared_with_what_there_is(sweep: Sweep) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"], {0.1: (0.9, 0.0)})
    rows = ratios(compared(sweep))
    assert list(rows.index) == [PAIRS[0], PAIRS[1], PAIRS[3]]


def test_without_sequences_there_are_ratios_and_no_intervals(sweep: Sweep) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"], {0.1: (0.9, 0.0)})
    rows = ratios(compared(sweep, replicates=0))
    assert rows["ratio_median"].notna().all() and rows["ratio_low"].isna().all()


def test_seeds_are_averaged_at_each_threshold(sweep: Sweep) -> None:
    arms = sweep.arms(seeds=5, noise=0.02)
    prune_all(sweep, arms["baseline"], {0.1: (0.5, 0.0)})
    rows = pruning.table(compared(sweep))
    row = rows[rows.over.eq("baseline_pruned") & rows.noise.eq("seeds") & rows.ablation.eq("zero")].iloc[0]
    assert row["n_seeds"] == 5 and row["ratio_median"] == pytest.approx(1, rel=0.03)
    assert row["ratio_low"] < row["ratio_median"] < row["ratio_high"]


def test_the_command_writes_both_ways_and_says_so(sweep: Sweep, tmp_path: Path, capsys) -> None:
    arms = sweep.arms()
    prune_all(sweep, arms["baseline"], {0.1: (0.5, 0.0), 0.2: (0.4, 0.5)})
    sweep.write("s")
    folders = [f"sweeps_dir={sweep.sweeps_dir}", f"results_dir={tmp_path / 'results'}", "replicates=60"]
    assert plot_pareto.main(folders) == 0
    results = tmp_path / "results" / "s"
    assert {p.name for p in results.glob("*pruning*")} == {"pruning.csv"} | {
        f"figure_pruning.{kind}" for kind in ("csv", "png", "svg", "pdf")
    }
    said = capsys.readouterr().out
    summary = (results / "summary.md").read_text()
    assert "pruning changes this" in said and "## Pruned at inference" in summary
    points = pd.read_csv(results / "figure_pruning.csv")
    assert points["architecture"].value_counts().to_dict() == {"baseline": 4, "baseline, pruned": 12}
    pruned = points[points["architecture"] == "baseline, pruned"]
    assert set(pruned.loc[pruned["on_frontier"], "prune_below"]) == {0.1, 0.2}
    assert points[points["architecture"] == "baseline"]["on_frontier"].all()


def test_without_thresholds_there_is_nothing_of_it(sweep: Sweep, tmp_path: Path) -> None:
    sweep.arms()
    assert compared(sweep) == []
    folders = [f"sweeps_dir={sweep.sweeps_dir}", f"results_dir={tmp_path / 'results'}", "replicates=0"]
    assert plot_pareto.main(folders) == 0
    assert not list((tmp_path / "results" / "s").glob("*pruning*"))
    assert "Pruned" not in (tmp_path / "results" / "s" / "summary.md").read_text()
