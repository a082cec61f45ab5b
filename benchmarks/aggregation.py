"""How long `plot_pareto.py` takes for a large sweep: synthetic records of 27 panels, sequences and histories and all.

python -m benchmarks.aggregation [runs=10000] [out=FOLDER]
"""

import json
import resource
import shutil
import subprocess
import sys
import time
from itertools import count, product
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from pipeline.cli.options import key_values, whole_number
from pipeline.storage.places import BASE

SITES, LAYERS, ARMS = ("attn_z", "mlp_out", "resid_post"), tuple(range(9)), {"gated": 4, "baseline": 6}
LAMBDAS = 20
SEQUENCES, DOCUMENTS, PREDICTIONS, D_IN = 400, 100, 254, 256
REPLICATES = 2000


def write_sweep(sweeps_dir: Path, runs: int) -> None:
    """A sweep named big: every panel and arm in turn, then the next lambda, then the next seed."""
    rng = np.random.default_rng(0)
    clean = PREDICTIONS * (3 + 0.3 * rng.normal(size=SEQUENCES))
    gap = PREDICTIONS * np.exp(0.3 * rng.normal(size=SEQUENCES))
    of_document = {"document": np.arange(SEQUENCES) % DOCUMENTS, "predictions": np.full(SEQUENCES, PREDICTIONS)}
    (sweeps_dir / "shared").mkdir(parents=True)
    save_file(of_document | {"ce_clean": clean}, sweeps_dir / "shared" / "clean.safetensors")
    save_file({"ce_zero": clean + gap, "ce_mean": clean + 0.9 * gap}, sweeps_dir / "shared" / "ablated.safetensors")
    cells = (cell for seed in count() for cell in product([seed], range(LAMBDAS), SITES, LAYERS, ARMS))
    entries = [_write_run(sweeps_dir, rng, clean, gap, *cell) for _, cell in zip(range(runs), cells, strict=False)]
    (sweeps_dir / "big").mkdir()
    (sweeps_dir / "big" / "manifest.json").write_text(json.dumps({"sweep": "big", "runs": entries}))


def _write_run(
    sweeps_dir: Path,
    rng: np.random.Generator,
    clean: Any,
    gap: Any,
    seed: int,
    lam: int,
    site: str,
    layer: int,
    arm: str,
) -> dict[str, Any]:
    """One run's record; the baseline needs twice the features, and noise is shared by nothing but the text."""
    name, d_sae, place = f"{site}-L{layer}-{arm}-lam{lam}-seed{seed}", D_IN * ARMS[arm], lam / LAMBDAS
    recovered, l0 = 0.95 - 0.4 * place, np.exp(4.5 - 3 * place + 0.05 * rng.normal()) * (1 + (arm == "baseline"))
    sums = {
        "tokens": np.full(SEQUENCES, PREDICTIONS + 1.0),
        "l0": (PREDICTIONS + 1) * l0 * np.exp(0.1 * rng.normal(size=SEQUENCES)),
        "ce_sae": clean + gap * (1 - recovered + 0.1 * rng.normal(size=SEQUENCES)),
    }
    folder = sweeps_dir / "runs" / name
    folder.mkdir(parents=True)
    counts = rng.lognormal(4, 2, d_sae).clip(0, SEQUENCES * PREDICTIONS).astype(np.int64)
    unread = {key: np.ones(SEQUENCES) for key in ("x_x", "xhat_xhat", "x_xhat", "error", "cosine", "norm_ratio")}
    save_file(sums | unread | {"feature_counts": counts}, folder / "sequences.safetensors")
    settings = {
        "model": {"name": "toy"}, "site": {"name": site}, "data": {"name": "text"}, "layer": layer, "seed": seed,
        "architecture": {"name": arm, "expansion": ARMS[arm]}, "sparsity_coefficient": lam + 1.0,
        "train": {f"setting_{number}": 1.0 for number in range(30)} | {"steps": 5000, "batch": 256},
    }  # fmt: skip
    entry = {"run": name, "evaluation": "e", "model": "toy@1", "d_in": D_IN, "d_sae": d_sae, "settings": settings}
    (folder / "metrics.json").write_text(json.dumps(_record(entry, sums, clean, gap), indent=1))
    attempt = {"training_seconds": 30.0, "device": "cpu", "threads": 2}
    (folder / "execution.json").write_text(json.dumps({"attempts": [attempt]}))
    _history(l0).to_csv(folder / "history.csv", index=False)
    return entry


def _record(entry: dict[str, Any], sums: dict[str, Any], clean: Any, gap: Any) -> dict[str, Any]:
    ce = {"ce_clean": clean, "ce_sae": sums["ce_sae"], "ce_zero": clean + gap, "ce_mean": clean + 0.9 * gap}
    metrics = {name: values.sum() / (SEQUENCES * PREDICTIONS) for name, values in ce.items()} | {
        "l0": sums["l0"].sum() / sums["tokens"].sum(), "gamma": 0.95, "alive_fraction": 0.9, "dead_fraction": 0.1,
    }  # fmt: skip
    for column, ablated in (("loss_recovered", "ce_zero"), ("loss_recovered_mean_ablation", "ce_mean")):
        above = metrics[ablated] - metrics["ce_clean"]
        metrics[column] = (metrics[ablated] - metrics["ce_sae"]) / above
    return {
        "run": entry["run"], "training_version": 1, "evaluation_version": 1, "identity": {"model": entry["model"]},
        "settings": entry["settings"], "training": {"d_in": D_IN, "d_sae": entry["d_sae"], "tokens": 1280000},
        "evaluation": {"id": "e", "clean": "clean", "ablated": "ablated"}, "metrics": metrics, "provenance": {},
    }  # fmt: skip


def _history(l0: float) -> pd.DataFrame:
    steps = np.arange(50, 5001, 50)
    falling = 1 + 300 / steps
    return pd.DataFrame({
        "step": steps, "tokens": 256 * steps, "loss": 200 * falling, "reconstruction": 100 * falling,
        "sparsity": 50 * falling, "auxiliary": 50 * falling, "l0": l0 * falling, "dead_fraction": 0.0, "lr": 1e-3,
        "sparsity_coefficient": 1.0, "sparse_steps": steps,
    })  # fmt: skip


def main(arguments: list[str]) -> None:
    given = key_values(arguments, ("runs", "out"))
    runs = whole_number("runs", given.get("runs", "10000"))
    folder = Path(given["out"]) if "out" in given else Path(mkdtemp())
    write_sweep(folder / "sweeps", runs)
    script = [sys.executable, str(BASE / "pipeline" / "plot_pareto.py"), f"sweeps_dir={folder / 'sweeps'}"]
    for replicates in (0, REPLICATES):
        started = time.perf_counter()
        command = [*script, f"results_dir={folder / 'results'}", f"replicates={replicates}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"{runs} records, replicates={replicates}: {seconds:.1f} s, at most {peak:.2f} GB so far", flush=True)
    if "out" not in given:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
