"""From synthetic records to ratios: intervals against a bootstrap by hand, refusals, seeds, mixed sweeps."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import bootstrap, tables
from pipeline.comparison.along import GRID
from pipeline.comparison.arms import Arms
from pipeline.comparison.compare import Compared, panels
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.summary import not_compared, ratio_lines
from pipeline.comparison.t_distribution import t_quantile
from tests.analysis.test_curves import Point, at_by_definition, front_by_definition
from tests.comparison.test_along import ratio_by_definition
from tests.factories import Sweep, Text

REPLICATES = 60


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def compared(sweep: Sweep, replicates: int = REPLICATES) -> tuple[pd.DataFrame, list[Compared]]:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return runs, list(panels(runs, sweep.sweeps_dir, replicates))


def found_in(sweep: Sweep, arms: Arms | None = None) -> Findings:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return findings(runs, sweep.sweeps_dir, REPLICATES, read_pruned(sweep.sweeps_dir, runs), arms)


def ratio_row(found: list[Compared], noise: str = "sequences", ablation: str = "zero") -> pd.Series:
    rows = tables.l0_ratios(found)
    (row,) = [r for _, r in rows[(rows["noise"] == noise) & (rows["ablation"] == ablation)].iterrows()
              if r["comparison"] == "width_1.5"]  # fmt: skip
    return row


def points_by_hand(sweep: Sweep, runs: pd.DataFrame, chosen: np.ndarray) -> list[list[Point]]:
    """Log L0 and loss recovered of each arm's runs over the sequences chosen (with repeats), from the files."""
    reference = load_file(sweep.sweeps_dir / "shared" / "clean0.safetensors")
    ablated = load_file(sweep.sweeps_dir / "shared" / "ablated0.safetensors")
    clean, zero = reference["ce_clean"][chosen].sum(), ablated["ce_zero"][chosen].sum()
    arms: dict[str, list[Point]] = {"baseline": [], "gated": []}
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
    whole = ratio_by_definition(sample)
    assert whole is not None
    estimate, low, high = whole
    row = ratio_row(found)
    assert row["ratio_median"] == pytest.approx(math.exp(estimate))
    assert (row["fidelity_low"], row["fidelity_high"]) == pytest.approx((low, high))
    assert row["n_seeds"] == 1 and row["alive_candidate"] == pytest.approx(0.95)

    document = load_file(sweep.sweeps_dir / "shared" / "clean0.safetensors")["document"]
    names = np.unique(document)
    places = low + (high - low) * (np.arange(GRID) + 0.5) / GRID
    own = [front_by_definition(arm) for arm in sample]

    def along(points: list[list[Point]]) -> np.ndarray:
        """The log ratio, where a front that ends goes on with the slope of the sample's own."""
        lines = [front_by_definition(arm) for arm in points]
        first, second = ([on_from(line, front, y) for y in places] for line, front in zip(lines, own, strict=True))
        return np.subtract(first, second)

    curve, deviations = along(sample), []
    for times in bootstrap.weights(len(names), REPLICATES)[1:]:
        drawn = np.concatenate(
            [np.repeat(np.flatnonzero(document == n), int(k)) for n, k in zip(names, times, strict=True)]
        )
        wider = math.sqrt(12 / 11) * (along(points_by_hand(sweep, runs, drawn)) - curve)  # 12 documents
        deviations.append(np.median(curve + wider) - estimate)
    factor = t_quantile(0.975, 12 - 1) / 1.959964  # of as many sequences each
    expected = np.exp(estimate + factor * np.quantile(deviations, [0.025, 0.975]))
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(tuple(expected), rel=1e-6)


def on_from(line: list[Point], sample: list[Point], y: float) -> float:
    """Log L0 at a fidelity on a front; beyond its ends straight on, with the slope of the sample's front there."""
    if line[0][1] <= y <= line[-1][1]:
        return at_by_definition(line, y)
    (x, end), (first, second) = (line[0], sample[:2]) if y < line[0][1] else (line[-1], sample[-2:])
    return x + (second[0] - first[0]) / (second[1] - first[1]) * (y - end)


def test_noise_that_runs_share_cancels(sweep: Sweep) -> None:
    """The same sums at both arms: a ratio of exactly 1 with no width, however noisy the text, and no verdict."""
    for lam in range(1, 8):
        same = {"l0": 100 / lam**2, "recovered": 1 - 0.1 * lam, "noise": 0.2, "draw": lam}
        for arm in ("gated", "baseline"):
            sweep.run(arm, lam, **same)
    found = found_in(sweep)
    row = ratio_row(list(found.compared))
    assert (row["ratio_median"], row["ratio_low"], row["ratio_high"]) == pytest.approx((1, 1, 1), abs=1e-12)
    assert {answer.word for answer in found.answers if answer.question == "direction"} == {"undecided"}


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
    rows = tables.savings(found)
    row = rows[(rows["noise"] == "sequences") & (rows["comparison"] == "width_1.5")].iloc[0]
    assert 0 < row["saved_low"] < row["saved_median"] < row["saved_high"] < 0.5
    assert row["l0_low"] == pytest.approx(10, rel=0.1) and row["l0_high"] == pytest.approx(40, rel=0.1)
    assert row["ce_zero_minus_clean"] == pytest.approx(0.5, rel=0.2)


def test_the_band_of_the_curve_reaches_as_far_as_its_line_and_is_wider_than_the_interval(sweep: Sweep) -> None:
    sweep.arms(noise=0.3)
    _, found = compared(sweep, 400)
    rows = tables.curves(found)
    one = rows[(rows["comparison"] == "width_1.5") & (rows["ablation"] == "zero")]
    assert len(one) == GRID and np.allclose(one["ratio"], one["l0_reference"] / one["l0_candidate"])
    assert ((one["ratio_low"] < one["ratio"]) & (one["ratio"] < one["ratio_high"])).all()
    np.testing.assert_allclose(one["ratio"] / one["ratio_low"], one["ratio_high"] / one["ratio"])
    row = ratio_row(found)
    assert (one["ratio_high"] / one["ratio_low"]).mean() > row["ratio_high"] / row["ratio_low"]


# --------------------------------------------------------------------------------------------------------------- seeds


def test_seeds_are_averaged_and_have_their_interval(sweep: Sweep) -> None:
    sweep.arms(seeds=5, noise=0.02)
    runs, found = compared(sweep)
    row = ratio_row(found, "seeds")
    assert row["n_seeds"] == 5 and row["ratio_low"] < row["ratio_median"] < row["ratio_high"]
    runs = runs.assign(x=np.log(runs["l0"]))
    means = runs.groupby(["architecture", "sparsity_coefficient"])[["x", "loss_recovered"]].mean()

    def estimate(of: pd.DataFrame) -> float:
        found = ratio_by_definition(
            [list(of.loc[arm].itertuples(index=False, name=None)) for arm in ("baseline", "gated")]
        )
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
    repeat = math.log(row["ratio_repeat_high"] / row["ratio_repeat_low"]) / 2
    assert repeat == pytest.approx(math.sqrt(2) * width)
    text, both = ratio_row(found, "sequences"), ratio_row(found, "both")
    assert both["ratio_low"] < min(text["ratio_low"], row["ratio_low"])
    assert both["ratio_high"] > max(text["ratio_high"], row["ratio_high"])
    assert pd.isna(text["ratio_repeat_low"]) and pd.isna(both["ratio_repeat_low"])


@pytest.mark.parametrize("lacking", [False, True])
def test_too_few_seeds_are_not_measured(sweep: Sweep, lacking: bool) -> None:
    sweep.arms(seeds=3 if lacking else 2)
    if lacking:  # one seed at one point
        sweep.declared.pop()
    _, found = compared(sweep)
    row = ratio_row(found, "seeds")
    assert row["n_seeds"] == 2 and pd.isna(row["ratio_low"]) and row["note"] == "seed noise not measured (2 of 3 seeds)"
    both = ratio_row(found, "both")
    assert pd.isna(both["ratio_low"]) and both["note"] == row["note"] and row["ratio_median"] > 1
    assert np.isfinite(ratio_row(found)["ratio_low"])


def test_seeds_that_the_arms_do_not_share_are_named(sweep: Sweep) -> None:
    for folder in sweep.arms(seeds=3)["gated"]:
        record = json.loads((folder / "metrics.json").read_text())
        record["settings"]["seed"] += 10
        (folder / "metrics.json").write_text(json.dumps(record))
    row = ratio_row(compared(sweep)[1], "seeds")
    assert row["note"] == "seed noise not measured (the arms share 0 seeds; give both the same)"
    assert row["n_seeds"] == 0 and row["ratio_median"] > 1


def test_reasons_say_what_would_be_right(sweep: Sweep) -> None:
    sweep.arms()
    runs, found = compared(sweep, 0)
    assert ratio_row(found)["note"] == "no interval over sequences: replicates=0 asks for none"
    assert " over seeds alone)" not in ratio_lines(found_in(sweep))[0]
    assert ratio_row(list(panels(runs, None, 60)))["note"] == "no interval over sequences: a table of points has none"
    bare = runs.assign(loss_recovered_mean_ablation=np.nan)
    (one,) = panels(bare, None, 0)
    (mean,) = [measured for measured in one.measured if measured.ablation == "mean"]
    assert mean.note == "baseline has no point with a value of loss recovered by mean ablation"


def test_the_interval_over_seeds_is_said_where_it_is_all_there_is(sweep: Sweep) -> None:
    sweep.arms(seeds=3)
    runs, found = compared(sweep, 0)
    row = ratio_row(found, "seeds")
    said = f"L0 ratio {row['ratio_median']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f} over seeds alone)"
    (line,) = ratio_lines(findings(runs, sweep.sweeps_dir, 0, runs.iloc[:0]))
    assert said in line and "not judged: no interval over sequences: replicates=0" in line


def test_several_evaluations_say_in_what_they_differ(sweep: Sweep) -> None:
    for folder in [*sweep.arms()["gated"], *sweep.arms(text=Text(seed=1))["gated"]]:
        record = json.loads((folder / "metrics.json").read_text())
        record["settings"]["eval"] = {"sequences": 60 + int(record["evaluation"]["id"][-1]), "batch": 4}
        (folder / "metrics.json").write_text(json.dumps(record))
    assert not_compared(found_in(sweep))[0] == (
        "mlp_out, layer 1: 2 evaluations (they differ in eval.sequences), each compared within itself only"
    )


def test_a_seed_at_some_points_alone_is_in_their_means_and_not_left_out(sweep: Sweep) -> None:
    sweep.arms(seeds=4)
    sweep.declared.pop()
    assert ratio_row(compared(sweep)[1], "seeds")["n_seeds"] == 3


# ------------------------------------------------------------------------------------------------------------ refusals


def test_fronts_that_do_not_overlap_are_refused(sweep: Sweep) -> None:
    for lam, l0, recovered in ((1, 20, 0.9), (2, 10, 0.8)):
        sweep.run("gated", lam, l0, recovered, noise=0.01)
        sweep.run("baseline", lam, l0, recovered - 0.3, noise=0.01)
    found = found_in(sweep)
    row = ratio_row(list(found.compared))
    assert pd.isna(row["ratio_median"]) and "do not overlap in loss recovered: baseline 0.4" in row["note"]
    (line,) = ratio_lines(found)
    assert "width_1.5 + equal_seconds: above for these SAEs: gated saves 0.1" in line
    (line,) = not_compared(found)
    assert line.startswith("mlp_out, layer 1: baseline (48) / gated (32) have no ratio: the fronts do not overlap")


def test_single_points_and_an_empty_arm(sweep: Sweep) -> None:
    sweep.run("gated", 1, 10, 0.8)
    found = found_in(sweep)
    assert tables.l0_ratios(found.compared).empty and tables.curves(found.compared).empty
    assert {answer.left_out for answer in found.answers} == {"no baseline run is declared there"}
    assert not_compared(found) == [
        "mlp_out, layer 1: no finished baseline run to compare with (reference=ARM names another): gated finished"
    ]
    sweep.run("baseline", 1, 20, 0.9)
    found = found_in(sweep)
    assert "baseline one point at 0.8898, gated one point at 0.8003" in ratio_row(list(found.compared))["note"]


@pytest.mark.parametrize(
    ("arms", "line"),
    [
        (Arms("gated"), "no finished other run to compare with gated"),
        (Arms("gated", ("topk", "baseline")), "no finished topk or baseline run to compare with gated"),
        (Arms("topk"), "no finished topk run to compare with (reference=ARM names another): gated finished"),
    ],
)  # fmt: skip
def test_arms_that_are_not_there_are_named(sweep: Sweep, arms: Arms, line: str) -> None:
    sweep.run("gated", 1, 10, 0.8)
    assert not_compared(found_in(sweep, arms)) == [f"mlp_out, layer 1: {line}"]


def test_one_of_two_candidates_that_is_not_there_is_named(sweep: Sweep) -> None:
    sweep.arms()
    found = found_in(sweep, Arms(candidates=("gated", "topk")))
    assert not_compared(found) == ["mlp_out, layer 1: no finished topk run to compare"]
    assert len(ratio_lines(found)) == 1


def test_nothing_finished_is_an_empty_table(sweep: Sweep) -> None:
    sweep.absent("gated", 1.0)
    found = found_in(sweep)
    assert not found.compared and list(tables.l0_ratios([]).columns) == list(tables.RATIOS)
    assert tables.savings([]).empty and tables.verdicts([]).empty and found.at_l0.empty
    assert len(tables.with_intervals(found.runs, [])) == 1


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
    found = found_in(sweep)
    row = ratio_row(list(found.compared))
    assert row["ratio_median"] > 1 and pd.isna(row["ratio_low"])
    assert row["note"].startswith("no interval over sequences: 1 run") and reason in row["note"]
    (line,) = not_compared(found)
    assert "no sequences of 1 run:" in line and reason in line and "(mlp_out-gated-0.5-0-1-evaluation0-None)" in line
    advice = "delete it, and the command that launches it evaluates the run again"
    assert (advice.replace("it,", "its sequences.safetensors,") in line) == (how in {"l0", "ce_sae"})
    assert (advice in line) == (how in {"damaged"})
    directions = [answer for answer in found.answers if answer.question == "direction"]
    assert all(answer.word == "undecided" and reason in answer.left_out for answer in directions)
    table = tables.with_intervals(found.runs, found.compared)
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
    found = found_in(sweep)
    assert len(found.compared) == 4
    rows = tables.l0_ratios(found.compared)
    names = rows["comparison"].nunique()
    assert len(rows) == 3 * names * 6  # panels, names, ablation x noise
    counts = rows.groupby("evaluation.id")["ratio_median"].count().to_dict()
    assert counts == {"evaluation0": 2 * names * 6, "evaluation1": names * 6}
    assert sorted(not_compared(found)) == [
        "attn_z, layer 1, toy@3, evaluation0: no finished baseline run to compare with (reference=ARM names "
        "another): gated finished",
        "attn_z, layer 1: 2 models or revisions, each compared within itself only",
        "mlp_out, layer 1: 2 evaluations, each compared within itself only",
    ]


def test_widths_that_match_no_rule_are_named_and_not_compared(sweep: Sweep) -> None:
    for lam in (1.0, 2.0):
        sweep.run("gated", lam, 10, 0.8, seconds=10)
        sweep.run("baseline", lam, 20, 0.8, expansion=2, seconds=50)
    found = found_in(sweep)
    assert tables.l0_ratios(found.compared).empty
    assert not_compared(found) == [
        "mlp_out, layer 1: baseline (16 wide) and gated (32 wide) match neither in width nor in training cost, so they "
        "are not compared"
    ]


def names(sweep: Sweep) -> dict[int, list[str]]:
    """By width of the baseline the names under which it is compared."""
    rows = tables.l0_ratios(compared(sweep)[1])
    return rows.groupby("d_sae_reference")["comparison"].unique().map(sorted).to_dict()


def test_names_of_a_comparison(sweep: Sweep) -> None:
    """Cost as spent: operations from the records, seconds; products that no step formed under their own name."""
    for lam, l0, recovered in ((1.0, 20, 0.9), (2.0, 10, 0.8)):
        sweep.run("gated", lam, l0, recovered, seconds=10, training_flops=1e9)
        sweep.run("baseline", lam, 2 * l0, recovered, expansion=6, seconds=20, training_flops=1.2e9)
        sweep.run("baseline", lam, 2 * l0, recovered, expansion=4, seconds=10.5, training_flops=1.05e9)
    found = {width: set(under) - {"equal_dense_flops"} for width, under in names(sweep).items()}
    assert found == {32: {"equal_flops", "equal_seconds", "equal_width"}, 48: {"width_1.5"}}


@pytest.mark.parametrize(("seconds", "named"), [(10.9, True), (11.1, False), (9.2, True), (9.0, False)])
def test_costs_within_a_tenth_are_equal(sweep: Sweep, seconds: float, named: bool) -> None:
    sweep.run("gated", 1.0, 10, 0.8, seconds=10)
    sweep.run("baseline", 1.0, 20, 0.8, seconds=seconds)
    assert ("equal_seconds" in names(sweep)[48]) == named


def test_seconds_on_other_machines_are_not_equal(sweep: Sweep) -> None:
    for lam, l0, recovered in ((1.0, 20, 0.9), (2.0, 10, 0.8)):
        sweep.run("gated", lam, l0, recovered, threads=2)
        sweep.run("baseline", lam, 2 * l0, recovered, threads=8)
    assert "equal_seconds" not in names(sweep)[48] and "width_1.5" in names(sweep)[48]
