"""The training classes of SAELens and dictionary_learning, with our parameters: where they are installed.

Each is the class that its own training loop calls for every step, at its defaults; in fp32, or bfloat16 if asked for.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from pipeline.sae.sparse_step.step import ElementwiseSAE

LEARNING_RATE = 1e-12
"""So low that L0 stays where it is set; the step costs the same."""
SAELENS, DICTIONARY_LEARNING = "SAELens", "dictionary_learning"
DISTRIBUTIONS = {SAELENS: "sae-lens", DICTIONARY_LEARNING: "dictionary-learning"}
MODULES = {SAELENS: "sae_lens", DICTIONARY_LEARNING: "dictionary_learning"}


@dataclass(frozen=True)
class Peer:
    """One SAE in a peer's trainer."""

    step: Callable[[Tensor], object]  # a whole training step on a batch
    gradients: Callable[[Tensor], tuple[float, dict[str, Tensor]]]  # loss, and gradients by our names and shapes


def installed() -> list[str]:
    return [name for name, module in MODULES.items() if importlib.util.find_spec(module)]


def versions() -> dict[str, str]:
    return {name: version(DISTRIBUTIONS[name]) for name in installed()}


def peer(name: str, sae: ElementwiseSAE, sparsity_coefficient: float, batch: int, precision: str = "float32") -> Peer:
    """A peer's trainer that holds a copy of our SAE; with bfloat16 each has the autocast that its loop would set."""
    make = {SAELENS: _saelens, DICTIONARY_LEARNING: _dictionary_learning}[name]
    return make(sae, sparsity_coefficient, batch, precision == "bfloat16")


def _saelens(sae: ElementwiseSAE, sparsity_coefficient: float, batch: int, autocast: bool) -> Peer:
    from sae_lens import GatedTrainingSAE, GatedTrainingSAEConfig, StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.sae import TrainStepInput
    from sae_lens.training.sae_trainer import SAETrainer

    kinds: dict[str, tuple[Any, Any]] = {
        "gated": (GatedTrainingSAE, GatedTrainingSAEConfig),
        "baseline": (StandardTrainingSAE, StandardTrainingSAEConfig),
    }
    cls, config = kinds[sae.config.name]
    device = str(sae.W_dec.device)
    theirs = cls(config(d_in=sae.d_in, d_sae=sae.d_sae, l1_coefficient=sparsity_coefficient, device=device))
    names = {name: name for name, _ in sae.named_parameters()}
    _copy(sae, dict(theirs.named_parameters()), names)
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=10_000 * batch, train_batch_size_samples=batch, lr=LEARNING_RATE,
            lr_end=LEARNING_RATE, device=device, autocast=autocast,
        ),
        theirs, data_provider=iter(()),
    )  # fmt: skip

    def gradients(x: Tensor) -> tuple[float, dict[str, Tensor]]:
        inputs = TrainStepInput(
            sae_in=x, dead_neuron_mask=None, coefficients={"l1": sparsity_coefficient}, n_training_steps=0,
            is_logging_step=False,
        )  # fmt: skip
        loss = theirs.training_forward_pass(step_input=inputs).loss
        return _taken(loss, theirs, names)

    def step(x: Tensor) -> None:
        trainer.step(x)
        trainer.n_training_steps += 1

    return Peer(step, gradients)


def _dictionary_learning(sae: ElementwiseSAE, sparsity_coefficient: float, batch: int, autocast: bool) -> Peer:
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.standard import StandardTrainer

    kinds: dict[str, tuple[Any, dict[str, str]]] = {
        "gated": (
            GatedSAETrainer,
            {"b_dec": "decoder_bias", "b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"},
        ),
        "baseline": (StandardTrainer, {"b_dec": "bias", "b_enc": "encoder.bias"}),
    }  # fmt: skip
    cls, names = kinds[sae.config.name]
    names = names | {"W_enc": "encoder.weight", "W_dec": "decoder.weight"}
    trainer = cls(
        steps=10_000, activation_dim=sae.d_in, dict_size=sae.d_sae, layer=0, lm_name="none", lr=LEARNING_RATE,
        l1_penalty=sparsity_coefficient, warmup_steps=0, sparsity_warmup_steps=None, device=str(sae.W_dec.device),
    )  # fmt: skip
    _copy(sae, dict(trainer.ae.named_parameters()), names)
    steps = iter(range(10_000))

    def step(x: Tensor) -> None:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            trainer.update(next(steps), x)

    return Peer(
        step, lambda x: _taken(trainer.loss(x, step=0), trainer.ae, names)
    )  # fmt: skip


@torch.no_grad()
def _copy(sae: ElementwiseSAE, theirs: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    for ours, name in names.items():
        value = getattr(sae, ours).detach()
        theirs[name].copy_(value if theirs[name].shape == value.shape else value.T)


def _taken(loss: Tensor, module: torch.nn.Module, names: Mapping[str, str]) -> tuple[float, dict[str, Tensor]]:
    """Their gradients; dictionary_learning's matrices are the transposes of ours."""
    module.zero_grad()
    loss.backward()
    parameters = dict(module.named_parameters())
    transposed = "encoder.weight" in names.values()
    found = {}
    for ours, theirs in names.items():
        gradient = parameters[theirs].grad
        assert gradient is not None
        found[ours] = gradient.T.clone() if transposed and gradient.ndim == 2 else gradient.clone()
    module.zero_grad()
    return loss.item(), found
