"""The decoder's constraint, and the moments that a re-initialised feature loses."""

import pytest
import torch
from torch import Tensor

from pipeline.config.schema import TrainConfig
from pipeline.sae.architectures.gated import GatedConfig, GatedSAE
from pipeline.sae.base import SAE
from pipeline.sae.objective import StepContext
from pipeline.sae.sparse_step import selection
from pipeline.sae.sparse_step.codes import materialize
from pipeline.sae.sparse_step.codes_cpu import DeferredGradCPU
from pipeline.training.optimizer import Optimizer

D_IN, D_SAE, RATE = 6, 10, 0.05
MOMENTS = ("exp_avg", "exp_avg_sq")


def make(beta1: float = 0.0) -> tuple[GatedSAE, Optimizer]:
    generator = torch.Generator().manual_seed(0)
    sae = GatedSAE(GatedConfig(), D_IN, D_SAE)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    return sae, Optimizer(sae, TrainConfig(steps=100, batch=32, lr=RATE, beta1=beta1))


def take_step(sae: GatedSAE, optimizer: Optimizer, seed: int) -> None:
    x = torch.randn(32, D_IN, generator=torch.Generator().manual_seed(seed)).to(sae.b_dec.dtype)
    optimizer.step(SAE.take_gradients(sae, x, StepContext(0.1)).gradients, RATE)


def moments(sae: GatedSAE, optimizer: Optimizer) -> dict[str, Tensor]:
    """With features in the first dimension."""
    state = optimizer.state()
    return {f"{name}.{m}": state[f"adam.{name}.{m}"].clone() for name, _ in sae.named_parameters() for m in MOMENTS}


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_a_cpus_one_pass_is_torchs_adam(beta1: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's is what other devices use; in float64."""
    (sae, optimizer), (other, by_torch) = make(beta1), make(beta1)
    sae.double(), other.double()

    def move_vectors(gradients: dict[str, Tensor], learning_rate: float) -> None:
        for name, gradient in gradients.items():
            by_torch._move_by_torch(other.get_parameter(name), gradient, by_torch.moments[name], learning_rate, False)

    monkeypatch.setattr(by_torch, "_move_on_cpu", by_torch._move_by_torch)
    monkeypatch.setattr(by_torch, "_move_vectors_on_cpu", move_vectors)
    for seed in range(10):
        take_step(sae, optimizer, seed)
        take_step(other, by_torch, seed)
    for name, parameter in sae.named_parameters():
        torch.testing.assert_close(parameter, other.get_parameter(name), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(optimizer.moments[name].exp_avg_sq, by_torch.moments[name].exp_avg_sq)
    assert ("adam.W_dec.exp_avg" in optimizer.state()) == bool(beta1)


def test_decoder_has_unit_norm_after_every_step() -> None:
    sae, optimizer = make()
    for seed in range(20):
        before = sae.W_dec.detach().clone()
        take_step(sae, optimizer, seed)
        assert not torch.equal(sae.W_dec, before)
        torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(D_SAE), rtol=0, atol=3e-7)


def test_moments_see_the_gradient_without_what_lies_along_each_feature() -> None:
    """Adam divides by the root of its second moment: a component removed after it would leave a trace there."""
    sae, optimizer = make()
    rows, gradient = sae.W_dec.detach().clone(), torch.randn(D_SAE, D_IN, generator=torch.Generator().manual_seed(1))
    along = (gradient * rows).sum(1, keepdim=True)
    assert along.abs().min() > 0.01
    optimizer.step({"W_dec": gradient.clone()}, RATE)
    torch.testing.assert_close(optimizer.moments["W_dec"].exp_avg_sq, 0.001 * (gradient - along * rows).square())


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_gradients_over_pairs_move_as_the_matrices_they_stand_for(beta1: float, monkeypatch) -> None:
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 2.0})
    (sae, optimizer), (other, by_matrix) = make(beta1), make(beta1)
    x = torch.randn(32, D_IN, generator=torch.Generator().manual_seed(4))
    for _ in range(3):
        gradients = sae.take_gradients(x, StepContext(0.1)).gradients
        assert isinstance(gradients["W_enc"], DeferredGradCPU) and isinstance(gradients["W_dec"], DeferredGradCPU)
        by_matrix.step({name: materialize(gradient) for name, gradient in gradients.items()}, RATE)
        optimizer.step(gradients, RATE)
    for name, parameter in sae.named_parameters():
        torch.testing.assert_close(parameter, other.get_parameter(name))


def test_step_takes_the_learning_rate_it_is_given() -> None:
    """The first step of Adam moves every entry by the learning rate."""
    sae, optimizer = make()
    before = sae.b_dec.detach().clone()
    x = torch.randn(32, D_IN, generator=torch.Generator().manual_seed(2))
    optimizer.step(SAE.take_gradients(sae, x, StepContext(0.1)).gradients, RATE / 10)
    torch.testing.assert_close((sae.b_dec - before).abs(), torch.full((D_IN,), RATE / 10))


def test_forget_resets_the_given_features_only() -> None:
    sae, optimizer = make(beta1=0.9)
    for seed in range(5):
        take_step(sae, optimizer, seed)
    before, parameters = moments(sae, optimizer), {n: p.detach().clone() for n, p in sae.named_parameters()}
    forgotten, others = torch.tensor([2, 9]), torch.tensor([0, 1, 3, 4, 5, 6, 7, 8])
    optimizer.forget(forgotten)
    for name, after in moments(sae, optimizer).items():
        if name.startswith("b_dec"):
            assert torch.equal(after, before[name])
            continue
        assert before[name][forgotten].any(), f"{name}: nothing to forget"
        assert not after[forgotten].any(), name
        assert torch.equal(after[others], before[name][others]), name
    assert all(torch.equal(p, parameters[n]) for n, p in sae.named_parameters())
    assert optimizer.steps == 5


def test_forget_before_the_first_step_does_nothing() -> None:
    _, optimizer = make()
    optimizer.forget(torch.tensor([1]))
    assert optimizer.state() == {}


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_state_carries_over_to_another_optimizer_exactly(beta1: float) -> None:
    sae, optimizer = make(beta1)
    for seed in range(5):
        take_step(sae, optimizer, seed)
    state = {name: value.clone() for name, value in optimizer.state().items()}
    other, other_optimizer = make(beta1)
    other.load_state_dict(sae.state_dict())
    other_optimizer.load(state)
    for seed in range(5, 10):
        take_step(sae, optimizer, seed)
        take_step(other, other_optimizer, seed)
    for name, value in sae.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
