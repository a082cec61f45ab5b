"""One of our trainers at a chosen L0, on random inputs."""

import torch
from torch import Tensor

from benchmarks.peers import LEARNING_RATE
from pipeline.activations.blocks import calibrate
from pipeline.config.schema import DataConfig, EvalConfig, ModelConfig, RunConfig, SiteConfig, TrainConfig
from pipeline.sae.registry import config_class
from pipeline.sae.sparse_step.step import ElementwiseSAE
from pipeline.training.trainer import Trainer

LAMBDA = 4.0


def trainer(architecture: str, x: Tensor, batch: int, d_sae: int, l0: float, precision: str = "float32") -> Trainer:
    """At a learning rate so low that L0 stays where the gate's bias is set here."""
    run = RunConfig(
        model=ModelConfig(name="none", context=256, layer=0), site=SiteConfig("site", "hook"),
        architecture=config_class(architecture)(expansion=d_sae / x.shape[1]), data=DataConfig("none", "bundled"),
        train=TrainConfig(steps=10_000, batch=batch, lr=LEARNING_RATE, precision=precision), eval=EvalConfig(), layer=0,
        sparsity_coefficient=LAMBDA, seed=0,
    )  # fmt: skip
    made = Trainer(run, calibrate(x), d_sae, history_every=50)
    set_l0(made.sae, x[:batch] * made.scale, l0)
    return made


@torch.no_grad()
def set_l0(sae: torch.nn.Module, x: Tensor, l0: float) -> None:
    """Set the biases of an SAE so that so many features are active on an input of this batch, on average.

    The threshold lies in the widest gap nearby: rounding, which differs between the tools, then moves no pair over it.
    """
    assert isinstance(sae, ElementwiseSAE)
    values = sae.pre_acts(x).flatten().sort(descending=True).values
    rank = round(len(x) * l0)
    first = max(0, rank - 50)
    near = values[first : rank + 50]
    gap = int((near[:-1] - near[1:]).argmax()) if len(near) > 1 else 0
    threshold = (near[gap : gap + 2].mean()) if len(near) else values[-1] - 1.0
    for name in set(sae.by_feature()) - {"r_mag"}:
        getattr(sae, name).fill_(-threshold)
