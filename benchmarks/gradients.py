"""Are the fast step's gradients right? Against float64, over all L0; and against the peers' own."""

import statistics
from contextlib import nullcontext

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.options import Options
from benchmarks.table import Table
from benchmarks.untrained import LAMBDA, set_l0, trainer
from pipeline.activations.blocks import calibrate
from pipeline.sae.base import SAE, Step, by_feature
from pipeline.sae.objective import StepContext
from pipeline.sae.sparse_step.codes import materialize
from pipeline.sae.sparse_step.selection import sparse_below
from pipeline.sae.sparse_step.step import ElementwiseSAE

TOLERANCE = 1e-5
BATCH, D_IN, D_SAE = 256, 128, 512
L0S = (0, 1, 10, 50, 200, D_SAE)
DIFFERENT = {
    (peers.SAELENS, "gated", "W_dec"): "its auxiliary term and its penalty train the decoder",
    (peers.SAELENS, "gated", "b_dec"): "its auxiliary term trains the decoder's bias",
    (peers.SAELENS, "baseline", "W_dec"): "its penalty is weighted by the decoder's norms",
}
"""Where a peer's mathematics is another, and why."""


def check(options: Options) -> dict[str, float]:
    """Print both tables; returns the figures of their bars."""
    table = Table(
        "gradients", "gradients against float64: norm of the difference over norm of the gradient, the worst tensor",
        {"architecture": "{}", "l0": "{}", "sparse": "{:.1e}", "dense": "{:.1e}", "autograd": "{:.1e}",
         "over_allowed": "{:.3f}"},
    )  # fmt: skip
    for architecture in ("gated", "baseline"):
        for l0 in L0S:
            table.add(architecture=architecture, l0=l0, **_against_float64(architecture, l0))
    table.show(options.out)
    figures = {"gradients": max(row["over_allowed"] for row in table.rows)}
    if peers.installed():
        figures["agreement"] = _agreement(options)
    return figures


def _made(architecture: str, l0: float) -> tuple[ElementwiseSAE, Tensor]:
    x = torch.randn(BATCH, D_IN)
    made = trainer(architecture, x, BATCH, D_SAE, l0)
    sae = made.sae
    assert isinstance(sae, ElementwiseSAE)
    with torch.no_grad():
        sae.W_enc += 0.1 * torch.randn(sae.W_enc.shape)  # no longer the decoder's transpose
        if "r_mag" in sae.by_feature():
            sae.by_feature()["r_mag"].add_(0.1 * torch.randn(D_SAE))
    inputs = x * calibrate(x).scale("sqrt_d_in")
    set_l0(sae, inputs, l0)
    return sae, inputs


def _ours(sae: ElementwiseSAE, x: Tensor, share: float | None = None) -> dict[str, Tensor]:
    """Our step's gradients: by the table of shares, or all sparse (1.1) or all dense (0)."""
    with nullcontext() if share is None else sparse_below(share):
        return _materialized(sae.take_gradients(x, StepContext(LAMBDA)))


def _autograd(sae: ElementwiseSAE, x: Tensor) -> dict[str, Tensor]:
    """The gradients of the loss as it stands, in the SAE's precision."""
    return _materialized(SAE.take_gradients(sae, x, StepContext(LAMBDA)))


def _materialized(step: Step) -> dict[str, Tensor]:
    return {name: by_feature(name, materialize(gradient)) for name, gradient in step.gradients.items()}


def _against_float64(architecture: str, l0: float) -> dict[str, float]:
    """Errors of the worst tensor: our step's, sparse and dense, and fp32 autograd's, which sets what is allowed."""
    sae, x = _made(architecture, l0)
    single = {"sparse": _ours(sae, x, 1.1), "dense": _ours(sae, x, 0.0), "autograd": _autograd(sae, x)}
    true = _autograd(sae.double(), x.double())
    errors = {way: {name: difference(found[name], true[name]) for name in true} for way, found in single.items()}
    allowed = {name: max(TOLERANCE, 2 * error) for name, error in errors["autograd"].items()}
    worst = max(errors[way][name] / allowed[name] for way in ("sparse", "dense") for name in true)
    return {way: max(each.values()) for way, each in errors.items()} | {"over_allowed": worst}


def difference(one: Tensor, true: Tensor) -> float:
    """Norm of the difference over norm of what is true; where that is zero, any difference is as large as it is."""
    size: float = true.double().norm().item()
    apart: float = (one.double() - true.double()).norm().item()
    return apart / (size or 1.0)


def _agreement(options: Options) -> float:
    """The largest difference from a peer's gradients where the mathematics is the same."""
    title = "gradients and loss against the peers' own, fp32, same parameters and inputs: relative difference"
    table = Table(
        "agreement", title, {"peer": "{}", "architecture": "{}", "what": "{}", "difference": "{:.1e}", "why": "{}"}
    )
    same = []
    for architecture in ("gated", "baseline"):
        sae, x = _made(architecture, 30)
        ours = _ours(sae, x)
        for name in peers.installed():
            loss, theirs = peers.peer(name, sae, LAMBDA, BATCH).gradients(x)
            total = sae.training_losses(x, StepContext()).total(LAMBDA).item()
            rows = {"loss": abs(loss - total) / total} | {n: difference(theirs[n], g) for n, g in ours.items()}
            for what, value in rows.items():
                why = DIFFERENT.get((name, architecture, what))
                table.add(peer=name, architecture=architecture, what=what, difference=value, why=why)
                same += [] if why else [value]
    table.show(options.out)
    print(f"  median where the mathematics is the same: {statistics.median(same):.1e}")
    return max(same)
