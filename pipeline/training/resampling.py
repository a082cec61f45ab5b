"""Re-initialisation of dead features (Bricken et al.'s recipe; appendix D.1.1 of the paper)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.config.schema import ResampleConfig
from pipeline.errors import TrainingDiverged
from pipeline.sae.base import SAE
from pipeline.storage.phases import phase
from pipeline.training.optimizer import Optimizer


@phase("resampling")
@torch.no_grad()
def resample(
    sae: SAE, optimizer: Optimizer, inputs: Float[Tensor, "n d_in"], dead: Int[Tensor, " k"],
    config: ResampleConfig, generator: torch.Generator,
) -> None:  # fmt: skip
    """Point dead features at inputs that the SAE reconstructs badly.

    Inputs are drawn with probability proportional to the square of their loss. A feature takes the direction of its
    drawn x - b_dec for decoder and encoder. Its encoder's norm is `encoder_norm` times the mean norm of alive ones; its
    biases, r_mag and Adam state are zero. The inputs are calibration activations: the training stream does not advance.

    Raises:
        TrainingDiverged: the loss is not finite.
    """
    if not len(dead) or len(dead) == sae.d_sae:
        return
    chosen = torch.randperm(len(inputs), generator=generator)[: config.inputs].to(inputs.device)
    candidates = inputs[chosen]
    loss = torch.cat([(sae(part) - part).double().square().sum(1) for part in candidates.split(1024)])
    if not loss.isfinite().all():
        raise TrainingDiverged("the loss is not finite where features are resampled: a lower train.lr may train")
    weights = (loss.square() + 1e-30).cpu()
    picked = torch.multinomial(weights, len(dead), replacement=len(dead) > len(weights), generator=generator)
    directions = torch.nn.functional.normalize(candidates[picked.to(inputs.device)] - sae.b_dec, dim=1)
    alive = torch.ones(sae.d_sae, dtype=torch.bool, device=dead.device)
    alive[dead] = False
    norms = sae.W_enc.double().norm(dim=0)[alive].tolist()
    alive_norm = math.fsum(norms) / len(norms)
    sae.reinitialise(dead, directions, config.encoder_norm * alive_norm)
    optimizer.forget(dead)
