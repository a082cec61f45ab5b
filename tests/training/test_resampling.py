"""Dead features begin again at inputs that are reconstructed badly; nothing else is touched."""

import copy

import pytest
import torch
from torch import Tensor

from pipeline.config.schema import ResampleConfig, TrainConfig
from pipeline.sae.base import SAE
from pipeline.sae.objective import StepContext
from pipeline.sae.registry import config_class, sae_class
from pipeline.training.optimizer import Optimizer
from pipeline.training.resampling import resample

D_IN, D_SAE = 6, 20
DEAD = torch.tensor([0, 3, 4, 11, 19])
ALIVE = torch.tensor([i for i in range(D_SAE) if i not in DEAD.tolist()])


def inputs(n: int = 300) -> Tensor:
    return torch.randn(n, D_IN, generator=torch.Generator().manual_seed(8))


@pytest.fixture(params=["baseline", "gated"])
def trained(request: pytest.FixtureRequest) -> tuple[SAE, Optimizer]:
    """An SAE some steps into training, so that Adam has moments and no parameter is zero."""
    generator = torch.Generator().manual_seed(7)
    sae = sae_class(request.param)(config_class(request.param)(), D_IN, D_SAE)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    optimizer = Optimizer(sae, TrainConfig(steps=10, batch=300, lr=1e-2, beta1=0.9))
    for _ in range(4):
        optimizer.step(sae.take_gradients(inputs(), StepContext(0.1)).gradients, 1e-2)
    return sae, optimizer


def run(trained: tuple[SAE, Optimizer], dead: Tensor = DEAD, seed: int = 1, **settings: object) -> None:
    resample(*trained, inputs(), dead, ResampleConfig(**settings), torch.Generator().manual_seed(seed))


def tensors(trained: tuple[SAE, Optimizer]) -> dict[str, Tensor]:
    """Parameters and moments, features in the first dimension."""
    sae, optimizer = trained
    found = dict(sae.state_dict()) | {n: v for n, v in optimizer.state().items() if n != "adam.steps"}
    return {name: (value.T if name == "W_enc" else value).clone() for name, value in found.items()}


def test_dead_features_point_at_inputs_and_start_from_nothing(trained: tuple[SAE, Optimizer]) -> None:
    sae, _ = trained
    norms = sae.W_enc.detach().norm(dim=0)
    alive_norm = norms[ALIVE].mean()
    assert (norms.mean() - alive_norm).abs() > 1e-3, "dead encoders must not count"
    run(trained)
    after = tensors(trained)
    possible = torch.nn.functional.normalize(inputs() - sae.b_dec.detach(), dim=1)
    nearest = (after["W_dec"][DEAD][:, None] - possible).norm(dim=2).min(dim=1)
    assert nearest.values.max() < 1e-5
    assert len(nearest.indices.unique()) == len(DEAD), "inputs are drawn without replacement"
    torch.testing.assert_close(after["W_dec"][DEAD].norm(dim=1), torch.ones(len(DEAD)))
    torch.testing.assert_close(after["W_enc"][DEAD], 0.2 * alive_norm * after["W_dec"][DEAD])
    for name in sae.by_feature():
        assert not after[name][DEAD].any(), name


def test_dead_features_lose_their_moments(trained: tuple[SAE, Optimizer]) -> None:
    before = tensors(trained)
    run(trained)
    for name, value in tensors(trained).items():
        if name.startswith("adam.") and "b_dec" not in name:
            assert before[name][ALIVE].any() and not value[DEAD].any(), name


def test_alive_features_and_b_dec_stay_bit_for_bit(trained: tuple[SAE, Optimizer]) -> None:
    before = tensors(trained)
    run(trained)
    for name, value in tensors(trained).items():
        kept = slice(None) if "b_dec" in name else ALIVE
        assert torch.equal(value[kept], before[name][kept]), name


def test_encoder_norm_is_configurable(trained: tuple[SAE, Optimizer]) -> None:
    alive_norm = trained[0].W_enc.detach().norm(dim=0)[ALIVE].mean()
    run(trained, encoder_norm=0.7)
    expected = (0.7 * alive_norm).expand(len(DEAD))
    torch.testing.assert_close(trained[0].W_enc.detach().norm(dim=0)[DEAD], expected)


def test_only_so_many_inputs_are_looked_at(trained: tuple[SAE, Optimizer]) -> None:
    run(trained, inputs=1)
    assert len(tensors(trained)["W_dec"][DEAD].unique(dim=0)) == 1


def test_generator_decides_everything(trained: tuple[SAE, Optimizer]) -> None:
    again, other = copy.deepcopy(trained[0]), copy.deepcopy(trained[0])
    run(trained, seed=1)
    for sae, seed, same in ((again, 1, True), (other, 2, False)):
        run((sae, Optimizer(sae, TrainConfig(steps=1, batch=1, lr=1.0))), seed=seed)
        assert torch.equal(sae.W_dec, trained[0].W_dec) is same


@pytest.mark.parametrize("dead", [torch.tensor([], dtype=torch.int64), torch.arange(D_SAE)], ids=["none", "all"])
def test_nothing_happens_when_none_or_all_are_dead(trained: tuple[SAE, Optimizer], dead: Tensor) -> None:
    """With all of them dead there is no norm to take a fifth of."""
    before = tensors(trained)
    run(trained, dead=dead)
    assert all(torch.equal(value, before[name]) for name, value in tensors(trained).items())


def test_inputs_are_drawn_in_proportion_to_the_square_of_their_loss() -> None:
    """An SAE that reconstructs nothing has loss ||x||^2: of losses 1, 2, 3, 4 come shares 1, 4, 9, 16 of 30."""
    sae = sae_class("baseline")(config_class("baseline")(), 4, 2)
    with torch.no_grad():
        sae.W_enc.fill_(-1.0)
        sae.W_dec.fill_(0.5)
    optimizer = Optimizer(sae, TrainConfig(steps=1, batch=1, lr=1.0))
    losses = torch.tensor([1.0, 2.0, 3.0, 4.0])
    x, generator, draws = torch.diag(losses.sqrt()), torch.Generator().manual_seed(3), 3000
    counts = torch.zeros(4)
    for _ in range(draws):
        resample(sae, optimizer, x, torch.tensor([1]), ResampleConfig(), generator)
        counts[sae.W_dec[1].argmax()] += 1
        with torch.no_grad():
            sae.W_enc[:, 1] = -1.0
    assert chi_square(counts, losses.square()) < 16.3  # 3 degrees of freedom: exceeded once in 1000
    assert chi_square(counts, losses) > 100


def chi_square(counts: Tensor, weights: Tensor) -> float:
    expected = counts.sum() * weights / weights.sum()
    return ((counts - expected).square() / expected).sum().item()
