"""Initial parameters of an SAE."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.activations.blocks import Calibration
from pipeline.config.schema import RunConfig
from pipeline.sae.base import SAE
from pipeline.sae.registry import sae_class


def initialise(run: RunConfig, calibration: Calibration, d_sae: int) -> tuple[SAE, torch.Generator]:
    """A new SAE and the generator for the rest of its training, both from the run's seed.

    W_dec's rows are random unit directions, mixed with those of activations (`data_directions`). W_enc is
    `encoder_norm` times their transpose (`tied_init`) or its own Kaiming-uniform draw. b_dec is the mean of the scaled
    inputs or zero.
    All draws are on the CPU, so that they are the same everywhere.

    Raises:
        UserError: a precision other than float32 for an architecture that autograd trains.
    """
    train, generator = run.train, torch.Generator().manual_seed(run.seed)
    d_in = calibration.activations.shape[1]
    sae = sae_class(run.architecture.name)(run.architecture, d_in, d_sae)
    sae.set_precision(train.precision)
    with torch.no_grad():
        sae.W_dec.copy_(_directions(calibration, d_sae, train.data_directions, generator))
        if train.tied_init:
            sae.W_enc.copy_(train.encoder_norm * sae.W_dec.T)
        else:
            bound = (3 / d_in) ** 0.5
            sae.W_enc.copy_((2 * torch.rand(d_in, d_sae, generator=generator) - 1) * bound * train.encoder_norm)
        if train.b_dec_init == "mean":
            sae.b_dec.copy_(calibration.mean.cpu() * calibration.scale(train.input_scale))
    return sae.to(calibration.activations.device), generator


def _directions(
    calibration: Calibration, d_sae: int, share: float, generator: torch.Generator
) -> Float[Tensor, "d_sae d_in"]:
    """Unit vectors: random ones, interpolated by `share` towards centred activations, each used equally often."""
    activations = calibration.activations
    random = functional.normalize(torch.randn(d_sae, activations.shape[1], generator=generator), dim=1)
    if share == 0:
        return random
    drawn = torch.randperm(len(activations), generator=generator)
    rows = drawn[torch.arange(d_sae) % len(drawn)].to(activations.device)
    of_data = functional.normalize((activations[rows] - calibration.mean).cpu(), dim=1)
    return functional.normalize(torch.lerp(random, of_data, share), dim=1)
