"""One evaluation for everyone's SAEs: the paper's loss, L0 and loss recovered on the same held-out contexts.

Each SAE is put into our classes, its decoder brought to unit norm (which changes no reconstruction and none of the
penalties, all of which are weighted by the decoder's norms), and its loss taken at the lambda it was trained with:
equation 4 for a baseline, equation 8 for a Gated SAE, on inputs scaled so that E||x||^2 = d_in.
"""

import math
import threading
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.grid_work import Work
from benchmarks.options import Options
from benchmarks.table import Table
from pipeline.activations.blocks import calibrate, calibration_size, harvest
from pipeline.config.schema import RunConfig
from pipeline.evaluation.evaluate import Candidate, evaluate, metrics_of
from pipeline.evaluation.references import references
from pipeline.language_model.loading import load_language_model
from pipeline.sae import load_sae
from pipeline.sae.base import SAE
from pipeline.sae.objective import StepContext
from pipeline.sae.registry import config_class, sae_class
from pipeline.tokens.sources import calibration_contexts, evaluation_contexts

TOOLS = ("ours", "SAELens", "dictionary_learning")


def load(tool: str, work: Work, folder: Path, name: str, architecture: str, value: float) -> SAE:
    """An SAE on unscaled activations, its decoder of unit norm."""
    if tool == "ours":
        found = list((folder / tool / "sweeps" / "runs").glob(f"*-{work.architectures[architecture]}-lam{value:g}-*"))
        assert len(found) == 1, f"{len(found)} folders for {name}"
        return load_sae(found[0])
    width = work.widths[architecture]
    sae = sae_class(architecture)(config_class(architecture)(expansion=width / work.d_in), work.d_in, width)
    sae.load_state_dict(load_file(folder / tool / f"{name}.safetensors"))
    sae.fold_decoder_norm()
    return sae.requires_grad_(False)


@torch.no_grad()
def loss(sae: SAE, x: torch.Tensor, scale: float, sparsity_coefficient: float) -> float:
    """The training loss, whole, on inputs scaled by s: features and errors scale with them."""
    parts = []
    for rows in x.split(4096):
        terms = sae.training_losses(rows, StepContext())
        square = terms.reconstruction + terms.auxiliary
        total = scale**2 * square.item() + sparsity_coefficient * scale * terms.sparsity.item()
        parts.append(total * len(rows))
    return math.fsum(parts) / len(x)


def judge(work: Work, folder: Path, run: RunConfig, tools: Sequence[str] = TOOLS) -> Table:
    """Everyone's losses and metrics."""
    model = load_language_model(run.model, torch.device("cpu"))
    held_out, hook = evaluation_contexts(run.model, run.data, work.held_out), run.hook_name
    sample = calibration_contexts(run.model, run.data, calibration_size(run.train, work.context))
    calibration = calibrate(harvest(model, sample, [hook], work.lm_batch)[hook])
    scale = calibration.scale("sqrt_d_in")
    x = harvest(model, held_out, [hook], work.lm_batch)[hook]
    reference = references(model, held_out, work.lm_batch, {hook: calibration.mean}, "grid", folder / "references")
    title = "everyone's SAEs on the same held-out contexts, by one evaluation"
    table = Table("grid_losses", title, {
        "tool": "{}", "architecture": "{}", "lambda": "{:g}", "loss": "{:.2f}", "l0": "{:.1f}",
        "loss_recovered": "{:.4f}", "fvu": "{:.4f}", "fired": "{:.1%}",
    })  # fmt: skip
    for tool in tools:
        saes = {name: Candidate(hook, load(tool, work, folder, name, arm, value)) for name, arm, value in work.runs()}
        sums = evaluate(model, held_out, work.lm_batch, saes, threading.Event())
        for name, arm, value in work.runs():
            taken = loss(saes[name].sae, x, scale, value)
            m = metrics_of(sums[name][0], reference, hook, run.eval.alive_frequency)
            table.add(
                tool=tool, architecture=arm, loss=taken, l0=m["l0"], loss_recovered=m["loss_recovered"], fvu=m["fvu"],
                fired=m["fired_fraction"], **{"lambda": value},
            )  # fmt: skip
    return table


def ratios(judged: Table, options: Options) -> dict[str, float]:
    """Print our loss over each peer's, by arm; returns, for each peer, the worse of the arms' means."""
    title = "our held-out loss over theirs: mean, best and worst of the arm's runs"
    formats = {"peer": "{}", "arm": "{}", "mean": "{:.3f}", "low": "{:.3f}", "high": "{:.3f}"}
    table, figures = Table("grid_loss_ratios", title, formats), {}
    losses = {(row["tool"], row["architecture"], row["lambda"]): row["loss"] for row in judged.rows}
    for tool in dict.fromkeys(tool for tool, _, _ in losses if tool != TOOLS[0]):
        for arm in sorted({arm for _, arm, _ in losses}):
            each = [losses["ours", arm, v] / loss_ for (t, a, v), loss_ in losses.items() if (t, a) == (tool, arm)]
            table.add(peer=tool, arm=arm, mean=math.fsum(each) / len(each), low=min(each), high=max(each))
        figures[f"loss_{tool.lower()}"] = max(row["mean"] for row in table.rows if row["peer"] == tool)
    table.show(options.out)
    return figures
