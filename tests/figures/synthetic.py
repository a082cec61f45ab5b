"""Synthetic material for figures: tables of runs, and the histories and sums that they would have left."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from safetensors.numpy import save_file

from pipeline.analysis.table import PRUNE_BELOW, table
from pipeline.comparison.compare import panels
from pipeline.comparison.tables import curves
from pipeline.figures.inputs import FigureInputs, figure_inputs

WORSE = {"gated": 1.0, "baseline": 2.0}
TOKENS = 4000
MODELS = {"gemma-7b-with-a-long-name@0123456789ab": (6, 13, 20, 27), "pythia-2.8b@ab": (4, 12, 16, 20, 28)}


def row(architecture: str = "gated", lam: float = 1.0, **given: Any) -> dict[str, Any]:
    """One finished run; a larger lambda is sparser, and every architecture but gated needs more features for it."""
    worse = WORSE.get(architecture, 1.3)
    l0, recovered = 40 / lam * worse, given.get("loss_recovered", 1 - 0.05 * lam**0.7)
    site, layer, model, seed = (
        given.get(k, v) for k, v in (("site", "mlp_out"), ("layer", 2), ("model", "toy@1"), ("seed", 0))
    )
    wide = given.get("expansion", 6 if architecture == "baseline" else 4)
    found = {
        "run": f"{model}-{site}-{layer}-{architecture}-{wide}-{lam:g}-{seed}", "sweep": "busy", "model": model,
        "site": site, "layer": layer, "architecture": architecture, "architecture.expansion": float(wide), "d_in": 8,
        "d_sae": 8 * wide, "sparsity_coefficient": lam, "seed": seed, "status": "done", "l0": l0,
        "loss_recovered": recovered,
        "loss_recovered_low": recovered - 0.02, "loss_recovered_high": recovered + 0.015,
        "ce_clean": 3.0, "ce_sae": 3 + (1 - recovered), "ce_zero": 4.0, "gamma": 1 - 0.02 * worse * lam,
        "alive_fraction": 0.9, "dead_fraction": 0.1, "data.name": "text", "evaluation.id": "e1",
    }  # fmt: skip
    return found | {name: value for name, value in given.items() if name != "expansion"}


def of(
    rows: Sequence[dict[str, Any]], sweeps_dir: Path | None = None, thresholds: Sequence[float] = ()
) -> FigureInputs:
    runs = table([dict(one) for one in rows])
    pruned = [
        runs.assign(
            **{PRUNE_BELOW: below, "l0": runs["l0"] * (1 - below), "loss_recovered": runs["loss_recovered"] - below}
        )
        for below in thresholds
    ]
    return figure_inputs(runs, curves(panels(runs, None, 0)), sweeps_dir, pd.concat(pruned) if pruned else None)


def busy(sweeps_dir: Path | None = None) -> list[dict[str, Any]]:
    """27 panels of two models with long names, eight arms in some of them, and everything that is awkward."""
    rows = [
        row(architecture, lam, site=site, layer=layer, model=model, seed=seed)
        for model, layers in MODELS.items()
        for site, layer in product(("resid_post", "mlp_out", "attn_z"), layers)
        for architecture, lam, seed in product(("gated", "baseline"), (0.5, 1, 3, 7.5), (0, 1))
    ]  # fmt: skip
    for name in (
        "gated_untied",
        "gated_no_r_mag",
        "gated_unfrozen_decoder",
        "baseline_rescale_shift",
        "jumprelu",
        "topk",
    ):
        rows += [row(name, lam, site="mlp_out", layer=4, model="pythia-2.8b@ab") for lam in (0.5, 1, 3)]
    rows += [row("gated", 2.0, site="mlp_out", layer=4, model="pythia-2.8b@ab", expansion=wide) for wide in (8, 16)]
    odd = {"site": "attn_z", "layer": 28, "model": "pythia-2.8b@ab"}
    rows += [row("gated", 90.0, **odd, l0=0.0, gamma=np.nan), row("gated", 80.0, **odd, loss_recovered=-3.5)]
    rows += [
        row("baseline", 1e-3, **odd, loss_recovered=1.3, gamma=12345.678),
        row("gated", 5.0, **odd, status="failed", l0=np.nan),
    ]
    if sweeps_dir is not None:
        for one in rows:
            leave(sweeps_dir, one)
    return rows


def leave(sweeps_dir: Path, one: dict[str, Any], dead: int = 2) -> Path:
    """The history and the counts of one run."""
    folder = sweeps_dir / "runs" / one["run"]
    folder.mkdir(parents=True)
    steps = np.arange(50, 5001, 50)
    history = pd.DataFrame({
        "step": steps, "tokens": steps * 8, "loss": 300 / steps**0.5 + 2, "reconstruction": 200 / steps**0.5 + 1,
        "sparsity": 90 / steps**0.5, "auxiliary": (one["architecture"] != "baseline") * (20 / steps**0.5 + 1),
        "l0": one["l0"] * (1 + 100 / steps), "dead_fraction": 0.0, "lr": 1e-3,
        "sparsity_coefficient": one["sparsity_coefficient"], "sparse_steps": 0,
    })  # fmt: skip
    history.to_csv(folder / "history.csv", index=False)
    counts = np.random.default_rng(len(one["run"])).lognormal(3, 1.5, one["d_sae"]).clip(1, TOKENS).astype(np.int64)
    counts[:dead] = 0
    save_file({"feature_counts": counts, "tokens": np.full(4, TOKENS / 4)}, folder / "sequences.safetensors")
    return folder


def written(figure: Figure) -> list[tuple[str, Any]]:
    """Every text that a figure shows, with its box in pixels; drawing it first, so that the layout is as printed."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts: list[Text] = [text for text in figure.texts if text.get_text()]
    for legend in figure.legends:
        texts += legend.get_texts()
    if figure._suptitle is not None:
        texts.append(figure._suptitle)
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [tick.label1 for tick in ticks if tick.label1.get_visible()]
    shown = {id(text): text for text in texts if text.get_visible() and text.get_text().strip()}
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown.values()]
