"""Committed results cannot go stale: they are of this code's configuration and numerics, and a run comes out again."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from pipeline.cli.hydra_main import announce_plugins
from pipeline.cli.validate import from_hydra
from pipeline.evaluation.metrics import loss_recovered
from pipeline.records import record
from pipeline.records.identity import EVALUATION_VERSION, TRAINING_VERSION, run_name
from pipeline.storage.reading import whole_object

ROOT = Path(__file__).resolve().parent.parent
SWEEP = "gated_vs_baseline"
REFERENCE = ROOT / "results" / "reference" / SWEEP


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (REFERENCE / "runs.csv").open() as file:
        return list(csv.DictReader(file))


def seeds() -> list[int]:
    """Those that `make results` trains."""
    (line,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("SEEDS ?="))
    return [int(seed) for seed in line.partition("=")[2].split(",")]


def declared() -> list[str]:
    """Names of the runs that `make results` declares today."""
    from itertools import product

    announce_plugins()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        sweeper = compose("config", [f"sweep={SWEEP}"], return_hydra_config=True).hydra.sweeper
        names = []
        for grid in sweeper.grids:
            axes = {k: v if hasattr(v, "__iter__") and not isinstance(v, str) else [v] for k, v in
                    {**sweeper.params, **grid, "seed": seeds()}.items()}  # fmt: skip
            for values in product(*axes.values()):
                overrides = [f"{key}={value}" for key, value in zip(axes, values, strict=True)]
                names.append(run_name(from_hydra(compose("config", [f"sweep={SWEEP}", *overrides])).run))
        return names


@pytest.mark.slow
def test_the_committed_results_are_of_this_configuration(rows):
    assert {row["run"] for row in rows} == set(declared()), f"run make results: {SWEEP} or training_version changed"
    versions = {(row["training_version"], row["evaluation_version"]) for row in rows}
    assert versions == {(str(TRAINING_VERSION), str(EVALUATION_VERSION))}
    assert {row["status"] for row in rows} == {"done"}


def test_the_committed_results_agree_with_themselves(rows):
    for row in rows:
        expected = loss_recovered(float(row["ce_clean"]), float(row["ce_sae"]), float(row["ce_zero"]))
        assert float(row["loss_recovered"]) == pytest.approx(expected, abs=1e-12)


def arm(rows: list[dict[str, str]], site: str, architecture: str) -> pd.DataFrame:
    """One arm at one site, means over seeds, from sparse to dense."""
    chosen = [r for r in rows if r["site"] == site and r["architecture"] == architecture]
    columns = ("l0", "loss_recovered", "gamma", "sparsity_coefficient")
    runs = pd.DataFrame([{c: float(r[c]) for c in columns} for r in chosen])
    return runs.groupby("sparsity_coefficient", as_index=False).mean().sort_values("l0")


@pytest.mark.parametrize("site", ["attn_z", "mlp_out", "resid_post"])
def test_what_the_committed_results_show(rows, site):
    """The paper's claims, on the bundled model: gated's front is above at equal L0, and only the baseline shrinks."""
    gated, baseline = arm(rows, site, "gated"), arm(rows, site, "baseline")
    low, high = max(10, gated.l0.min(), baseline.l0.min()), min(100, gated.l0.max(), baseline.l0.max())
    grid = np.linspace(np.log(low), np.log(high), 50)
    above = [np.interp(grid, np.log(a.l0), a.loss_recovered) for a in (gated, baseline)]
    assert high > 2 * low and (above[0] > above[1]).all()
    assert gated[gated.l0.between(10, 100)].gamma.between(0.98, 1.02).all()
    assert (baseline[baseline.l0.between(10, 50)].gamma < 0.97).all()
    assert baseline.gamma.rank().corr(baseline.sparsity_coefficient.rank()) <= -0.8


def test_the_readme_says_what_the_verdicts_are() -> None:
    """The table of claims under its pictures is that of summary.md, line by line."""
    summary = (REFERENCE / "summary.md").read_text()
    table = summary.partition("## Claims\n\n")[2].partition("\n\n")[0]
    assert table.startswith("| claim | as trained |") and table in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_one_committed_run_comes_out_again(rows, tmp_path):
    """Trained anew from its settings, alone: within 2 % of L0 and 0.005 of loss recovered."""
    row = next(r for r in rows if r["site"] == "mlp_out" and r["architecture"] == "gated" and 10 < float(r["l0"]) < 60)
    settings = [f"architecture={row['architecture']}", f"site={row['site']}", f"layer={row['layer']}"]
    settings += [f"{key}={row[key]}" for key in ("sparsity_coefficient", "seed", "train.lr", "train.steps")]
    settings += [f"train.lr_decay={row['train.lr_decay']}", f"execution.sweeps_dir={tmp_path}"]
    command = [sys.executable, "pipeline/run.py", *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    again = whole_object(tmp_path / "runs" / row["run"] / record.METRICS)
    assert again is not None, "the same settings are the same run"
    assert again["metrics"]["l0"] == pytest.approx(float(row["l0"]), rel=0.02)
    assert again["metrics"]["loss_recovered"] == pytest.approx(float(row["loss_recovered"]), abs=0.005)
