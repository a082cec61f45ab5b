"""From synthetic records to ratios: intervals against a bootstrap by hand, refusals, seeds, mixed sweeps."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.aggregate import read_sweep
from pipeline.comparison import bootstrap, tables
from pipeline.comparison.compare import Panel, panels
from pipeline.comparison.ratio import GRID
from pipeline.comparison.student import t_quantile
from pipeline.comparison.summary import not_compared, ratio_lines
from tests.comparison.records import Sweep, Text
from tests.comparison.test_ratio import by_brute_force
from tests.test_curves import at_by_definition, front_by_definition

REPLICATES = 60


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def compared(sweep: Sweep, replicates: int = REPLICATES) -> tuple[pd.DataFrame, list[Panel]]:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return runs, list(panels(runs, sweep.sweeps_dir, replicates))


def ratio_row(found: list[Panel], noise: str = "sequences", ablation: str = "zero") -> pd.Series:
    rows = tables.l0_ratios(found)
    (row,) = [r for _, r in rows[(rows["noise"] == noise) & (rows["ablation"] == ablation)].iterrows()
              if r["comparison"] == "width_1.5"]  # fmt: skip
    return row


def points_by_hand(sweep: Sweep, runs: pd.DataFrame, chosen: np.ndarray) -> list[list[tuple[float, float]]]:
    """Log L0 and loss recovered of each arm's runs over the sequences chosen (with repeats), from the files."""
    reference = load_file(sweep.sweeps_dir / "shared" / "clean0.safetensors")
    ablated = load_file(sweep.sweeps_dir / "shared" / "ablated0.safetensors")
    clean, zero = reference["ce_clean"][chosen].sum(), ablated["ce_zero"][chosen].sum()
    arms: dict[str, list[tuple[float, float]]] = {"baseline": [], "gated": []}
    for run, architecture in zip(runs["run"], runs["architecture"], strict=True):
        sums = load_file(sweep.sweeps_dir / "runs" / run / "sequences.safetensors")
        l0 = sums["l0"][chosen].sum() / sums["tokens"][chosen].sum()
        arms[architecture].append((math.log(l0), (zero - sums["ce_sae"][chosen].sum()) / (zero - clean)))
    return [arms["baseline"], arms["gated"]]


def test_interval_equals_a_bootstrap_by_hand(sweep: Sweep) -> None:
    sweep.arms(noise=0.4)
    runs, found = compared(sweep)
    everything = np.arange(60)
    sample = points_by_hand(sweep, runs, everything)
    whole = by_brute_force(sample)
    assert whole is not None
    estimate, low, high = whole
    row = ratio_row(found)
    assert row["ratio_median"] == pytest.approx(math.exp(estimate))
    assert (row["fidelity_low"], row["fidelity_high"]) == pytest.approx((low, high))
    assert row["n_seeds"] == 1 and row["alive_gated"] == pytest.approx(0.95)

    document = load_file(sweep.sweeps_dir / "shared" / "clean0.safetensors")["document"]
    names = np.unique(document)
    places = low + (high - low) * (np.arange(GRID) + 0.5) / GRID

    def along(points: list[list[tuple[float, float]]]) -> np.ndarray:
        fronts = [front_by_definition(arm) for arm in points]
        return np.array([at_by_definition(fronts[0], y) - at_by_definition(fronts[1], y) for y in places])

    reference, deviations = along(sample), []
    for times in bootstrap.weights(len(names), REPLICATES)[1:]:
        drawn = np.concatenate(
            [np.repeat(np.flatnonzero(document == n), int(k)) for n, k in zip(names, times, strict=True)]
        )
        replicate = along(points_by_hand(sweep, runs, drawn))
        kept = np.isfinite(replicate)
        if kept.mean() < 0.5:
            continue
        deviations.append(np.median(replicate[kept]) - np.median(reference[kept]))
    factor = t_quantile(0.975, 12 - 1) / 1.959964 * math.sqrt(12 / 11)  # 12 documents of 5 sequences
    assert len(deviations) > 0.95 * REPLICATES
    expected = np.exp(estimate + factor * np.quantile(deviations, [0.025, 0.975]))
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(tuple(expected), rel=1e-6)


def test_noise_that_runs_share_cancels(sweep: Sweep) -> None:
    """The same sums at both arms: a ratio of exactly 1 with no width, however noisy the text."""
    for lam in range(1, 8):
        same = {"l0": 100 / lam**2, "recovered": 1 - 0.1 * lam, "noise": 0.2, "draw": lam}
        for arm in ("gated", "baseline"):
            sweep.run(arm, lam, **same)
    _, found = compared(sweep)
    row = ratio_row(found)
    assert (row["ratio_median"], row["ratio_low"], row["ratio_high"]) == pytest.approx((1, 1, 1), abs=1e-12)


def test_loss_recovered_carries_its_interval(sweep: Sweep) -> None:
    sweep.arms()
    runs, found = compared(sweep, 400)
    table = tables.with_intervals(runs, found)
    for name in ("loss_recovered", "loss_recovered_mean_ablation", "delta_ce"):
        assert ((table[f"{name}_low"] < table[name]) & (table[name] < table[f"{name}_high"])).all()
    assert table["delta_ce"].to_numpy() == pytest.approx((runs["ce_sae"] - runs["ce_clean"]).to_numpy())
    none = tables.with_intervals(runs, list(panels(runs, sweep.sweeps_dir, 0)))
    assert none["loss_recovered_low"].isna().all() and list(none.columns) == list(table.columns)


def test_values_outside_0_and_1_survive(sweep: Sweep) -> None:
    for arm, factor in (("gated", 1), ("baseline", 2)):
        for number, recovered in enumerate((-0.3, 0.5, 1.2)):
            sweep.run(arm, 3 - number, factor * 4**number, recovered, noise=0.01)
    runs, found = compared(sweep)
    row = ratio_row(found)
    assert row["fidelity_low"] < -0.2 and row["fidelity_high"] > 1.1
    assert row["ratio_low"] < row["ratio_median"] < row["ratio_high"]
    assert tables.with_intervals(runs, found)["loss_recovered_high"].max() > 1.2


def test_paired_cross_entropy_at_equal_l0(sweep: Sweep) -> None:
    sweep.arms(noise=0.05)
    _, found = compared(sweep)
    rows = tables.delta_ces(found)
    row = rows[(rows["noise"] == "sequences") & (rows["comparison"] == "width_1.5")].iloc[0]
    assert 0 < row["delta_ce_low"] < row["delta_ce_median"] < row["delta_ce_high"] < 0.5
    assert row["l0_low"] == pytest.approx(10, rel=0.1) and row["l0_high"] == pytest.approx(40, rel=0.1)
    assert row["ce_zero_minus_clean"] == pytest.approx(0.5, rel=0.2)


def test_curve_has_an_interval_where_replicates_reach(sweep: Sweep) -> None:
    sweep.arms(noise=0.3)
    _, found = compared(sweep)
    rows = tables.curves(found)
    one = rows[(rows["comparison"] == "width_1.5") & (rows["ablation"] == "zero")]
    assert len(one) == GRID and np.allclose(one["ratio"], one["l0_baseline"] / one["l0_gated"])
    known = one.dropna(subset=["ratio_low"])
    assert 0 < len(known) < GRID and (known["ratio_low"] <= known["ratio_high"]).all()
    assert one["ratio_low"].isna().to_numpy()[[0, -1]].any()


# --------------------------------------------------------------------------------------------------------------- seeds


def test_seeds_are_averaged_and_have_their_interval(sweep: Sweep) -> None:
    sweep.arms(seeds=5, noise=0.02)
    runs, found = compared(sweep)
    row = ratio_row(found, "seeds")
    assert row["n_seeds"] == 5 and row["ratio_low"] < row["ratio_median"] < row["ratio_high"]
    runs = runs.assign(x=np.log(runs["l0"]))
    means = runs.groupby(["architecture", "sparsity_coefficient"])[["x", "loss_recovered"]].mean()

    def estimate(of: pd.DataFrame) -> float:
        found = by_brute_force([list(of.loc[arm].itertuples(index=False, name=None)) for arm in ("baseline", "gated")])
        assert found is not None
        return found[0]

    assert row["ratio_median"] == pytest.approx(math.exp(estimate(means)))
    width = (math.log(row["ratio_high"]) - math.log(row["ratio_low"])) / 2
    left_out = [
        estimate(others.groupby(["architecture", "sparsity_coefficient"])[["x", "loss_recovered"]].mean())
        for others in (runs[runs["seed"] != seed] for seed in range(5))
    ]
    by_hand = t_quantile(0.975, 4) * math.sqrt(0.8 * ((np.array(left_out) - np.mean(left_out)) ** 2).sum())
    assert width == pytest.approx(by_hand, rel=0.1)  # by hand each overlap is its own, here it stays fixed
    sequences = ratio_row(found, "sequences")
    assert sequences["ratio_low"] > 0 and sequences["ratio_low"] != row["ratio_low"]


@pytest.mark.parametrize("lacking", [None, 3])
def test_too_few_seeds_are_not_measured(sweep: Sweep, lacking: int | None) -> None:
    sweep.arms(seeds=4 if lacking is None else 5)
    if lacking is not None:  # one seed is missing at one point
        sweep.declared.pop()
    _, found = compared(sweep)
    row = ratio_row(found, "seeds")
    assert row["n_seeds"] == 4 and pd.isna(row["ratio_low"]) and "seed noise not measured" in row["note"]
    assert row["ratio_median"] > 1


# ------------------------------------------------------------------------------------------------------------ refusals


def test_fronts_that_do_not_overlap_are_refused(sweep: Sweep) -> None:
    for lam, l0, recovered in ((1, 20, 0.9), (2, 10, 0.8)):
        sweep.run("gated", lam, l0, recovered, noise=0.01)
        sweep.run("baseline", lam, l0, recovered - 0.3, noise=0.01)
    runs, found = compared(sweep)
    row = ratio_row(found)
    assert pd.isna(row["ratio_median"]) and "do not overlap in loss recovered: baseline 0.4" in row["note"]
    (line,) = ratio_lines(tables.l0_ratios(found))
    assert "no ratio" in line and not not_compared(found, runs)


def test_single_points_and_an_empty_arm(sweep: Sweep) -> None:
    sweep.run("gated", 1, 10, 0.8)
    runs, found = compared(sweep)
    assert tables.l0_ratios(found).empty and tables.curves(found).empty
    assert not_compared(found, runs) == ["mlp_out, layer 1: no finished baseline run to compare with"]
    sweep.run("baseline", 1, 20, 0.8)
    _, found = compared(sweep)
    assert "one point at" in ratio_row(found)["note"]


def test_nothing_finished_is_an_empty_table(sweep: Sweep) -> None:
    sweep.absent("gated", 1.0)
    runs, found = compared(sweep)
    assert found == [] and list(tables.l0_ratios(found).columns[:14]) == list(tables.RATIO)
    assert tables.delta_ces(found).empty and len(tables.with_intervals(runs, found)) == 1


def test_a_run_in_which_nothing_fires_has_no_place_on_the_curve(sweep: Sweep) -> None:
    sweep.arms(noise=0.05)
    before = ratio_row(compared(sweep)[1])
    sweep.run("gated", 9.0, 0.0, 0.0)
    after = ratio_row(compared(sweep)[1])
    assert after["ratio_median"] == before["ratio_median"] and after["ratio_low"] == before["ratio_low"]


def damage(folder: Path, how: str) -> None:
    path = folder / "sequences.safetensors"
    sums = load_file(path)
    if how == "absent":
        path.unlink()
    elif how == "damaged":
        path.write_bytes(path.read_bytes()[:100])
    elif how == "shorter":
        save_file({name: values[:-1].copy() for name, values in sums.items()}, path)
    else:
        sums[how] = sums[how] + 1
        save_file(sums, path)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("absent", "absent"), ("damaged", "cannot be read"), ("shorter", "59 sequences"), ("l0", "another L0"),
        ("ce_sae", "another cross-entropy"), ("tokens", "other lengths"),
    ],
)  # fmt: skip
def test_sequences_that_do_not_fit_are_not_mixed_in(sweep: Sweep, how: str, reason: str) -> None:
    sweep.arms()
    damage(sweep.run("gated", 0.5, 60, 0.95), how)
    runs, found = compared(sweep)
    row = ratio_row(found)
    assert row["ratio_median"] > 1 and pd.isna(row["ratio_low"])
    assert row["note"].startswith("no interval over sequences: 1 run") and reason in row["note"]
    (line,) = not_compared(found, runs)
    assert "no sequences of 1 run:" in line and reason in line
    table = tables.with_intervals(runs, found)
    assert table["loss_recovered_low"].isna().sum() == 1


def test_references_that_are_gone(sweep: Sweep) -> None:
    sweep.arms()
    (sweep.sweeps_dir / "shared" / "ablated0.safetensors").unlink()
    _, found = compared(sweep)
    assert "ablated0.safetensors is absent" in ratio_row(found)["note"]


@pytest.mark.parametrize(("factor", "fits"), [(1 + 1e-6, True), (1.01, False)])
def test_references_of_two_machines(sweep: Sweep, factor: float, fits: bool) -> None:
    """Means for ablation are rounded differently elsewhere; other losses altogether must not be mixed."""
    sweep.arms()
    folder = sweep.run("gated", 0.5, 60, 0.95)
    ablated = load_file(sweep.sweeps_dir / "shared" / "ablated0.safetensors")
    other = {"ce_zero": ablated["ce_zero"], "ce_mean": ablated["ce_mean"] * factor}
    save_file(other, sweep.sweeps_dir / "shared" / "other.safetensors")
    record = folder / "metrics.json"
    record.write_text(record.read_text().replace('"ablated0"', '"other"'))
    row = ratio_row(compared(sweep)[1])
    assert pd.notna(row["ratio_low"]) == fits
    assert fits or "2 sets of reference losses that differ" in row["note"]


# --------------------------------------------------------------------------------------------------------------- mixed


def test_mixed_sweeps_are_compared_within_what_is_comparable(sweep: Sweep) -> None:
    sweep.arms()
    sweep.arms(text=Text(seed=1))
    sweep.arms(model="toy@2", site="attn_z")
    sweep.run("gated", 1.0, 10, 0.8, site="attn_z", model="toy@3")
    sweep.absent("gated", 7.0, failure="loss is nan")
    runs, found = compared(sweep)
    assert len(found) == 4
    rows = tables.l0_ratios(found)
    assert len(rows) == 3 * 3 * 4  # panels, names, ablation x noise
    assert rows.groupby("evaluation.id")["ratio_median"].count().to_dict() == {"evaluation0": 24, "evaluation1": 12}
    assert sorted(not_compared(found, runs)) == [
        "attn_z, layer 1, toy@3, evaluation0: no finished baseline run to compare with",
        "attn_z, layer 1: 2 models or revisions, each compared within itself only",
        "mlp_out, layer 1: 2 evaluations, each compared within itself only",
    ]


def test_widths_that_match_no_rule_are_named_and_not_compared(sweep: Sweep) -> None:
    for lam in (1.0, 2.0):
        sweep.run("gated", lam, 10, 0.8, seconds=10)
        sweep.run("baseline", lam, 20, 0.8, expansion=2, seconds=50)
    runs, found = compared(sweep)
    assert tables.l0_ratios(found).empty
    (line,) = not_compared(found, runs)
    assert "baseline 16 wide, gated 32" in line


def test_names_of_a_comparison(sweep: Sweep) -> None:
    for lam, l0, recovered in ((1.0, 20, 0.9), (2.0, 10, 0.8)):
        sweep.run("gated", lam, l0, recovered, seconds=10)
        sweep.run("baseline", lam, 2 * l0, recovered, expansion=6, seconds=20)
        sweep.run("baseline", lam, 2 * l0, recovered, expansion=4, seconds=10.5)
    _, found = compared(sweep)
    names = tables.l0_ratios(found).groupby("d_sae_baseline")["comparison"].unique().map(sorted).to_dict()
    assert names == {32: ["equal_seconds", "equal_width"], 48: ["equal_flops", "width_1.5"]}


def test_seconds_on_other_machines_are_not_equal(sweep: Sweep) -> None:
    for lam, l0, recovered in ((1.0, 20, 0.9), (2.0, 10, 0.8)):
        sweep.run("gated", lam, l0, recovered, threads=2)
        sweep.run("baseline", lam, 2 * l0, recovered, threads=8)
    _, found = compared(sweep)
    assert set(tables.l0_ratios(found)["comparison"]) == {"equal_flops", "width_1.5"}
