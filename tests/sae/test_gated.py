"""The Gated SAE against the paper: equations 6-8, its gradients one by one, its JumpReLU form, its price."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config.schema import TrainConfig
from pipeline.sae.architectures.gated import GatedConfig, GatedSAE
from pipeline.sae.architectures.gated_unfrozen import GatedUnfrozenConfig, GatedUnfrozenSAE
from pipeline.sae.base import SAE, Losses
from pipeline.sae.objective import StepContext
from pipeline.training.optimizer import Optimizer

D_IN, D_SAE, BATCH = 5, 12, 40
TERMS = ("reconstruction", "sparsity", "auxiliary")


def random_sae(stop_pre_bias: bool = False, seed: int = 0) -> GatedSAE:
    """In float64, with every parameter away from zero and a decoder of unit norm."""
    generator = torch.Generator().manual_seed(seed)
    sae = GatedSAE(GatedConfig(stop_pre_bias=stop_pre_bias), D_IN, D_SAE).double()
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    return sae


def inputs(seed: int = 1, batch: int = BATCH) -> Tensor:
    return torch.randn(batch, D_IN, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arrays(sae: GatedSAE) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy().copy() for name, parameter in sae.named_parameters()}


def gradients_of(sae: GatedSAE, term: Tensor) -> dict[str, np.ndarray]:
    """Of every parameter; zero where the term does not reach it."""
    names, parameters = zip(*sae.named_parameters(), strict=True)
    found = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True, materialize_grads=True)
    return {name: gradient.numpy() for name, gradient in zip(names, found, strict=True)}


# ------------------------------------------------------------------------- equation 8 with its gradients taken by hand


def plain_losses(p: dict[str, np.ndarray], x: np.ndarray) -> dict[str, float]:
    pi_gate = (x - p["b_dec"]) @ p["W_enc"] + p["b_gate"]
    f_mag = np.maximum((x - p["b_dec"]) @ (p["W_enc"] * np.exp(p["r_mag"])) + p["b_mag"], 0)
    gated, gate_only = (pi_gate > 0) * f_mag, np.maximum(pi_gate, 0)
    return {
        "reconstruction": np.mean(np.sum((x - gated @ p["W_dec"] - p["b_dec"]) ** 2, axis=1)),
        "sparsity": np.mean(np.sum(gate_only, axis=1)),
        "auxiliary": np.mean(np.sum((x - gate_only @ p["W_dec"] - p["b_dec"]) ** 2, axis=1)),
    }


def plain_gradients(p: dict[str, np.ndarray], x: np.ndarray, stop_pre_bias: bool) -> dict[str, dict[str, np.ndarray]]:
    """Of each term; W_dec and the decoder's b_dec are constants to all but the first."""
    centred, rho = x - p["b_dec"], np.exp(p["r_mag"])
    pi = centred @ p["W_enc"]
    pi_gate, z = pi + p["b_gate"], rho * pi + p["b_mag"]
    gate = pi_gate > 0
    f = gate * np.maximum(z, 0)

    def through_encoder(d_pi: np.ndarray, stopped: bool) -> dict[str, np.ndarray]:
        d_b_dec = np.zeros(len(p["b_dec"])) if stopped else -p["W_enc"] @ d_pi.sum(0)
        return {"W_enc": centred.T @ d_pi, "b_dec": d_b_dec}

    error = 2 * (f @ p["W_dec"] + p["b_dec"] - x) / len(x)
    d_z = (error @ p["W_dec"].T) * gate * (z > 0)
    reconstruction = through_encoder(d_z * rho, stopped=False)
    reconstruction["b_dec"] += error.sum(0)
    reconstruction |= {"W_dec": f.T @ error, "b_mag": d_z.sum(0), "r_mag": (d_z * rho * pi).sum(0)}
    error = 2 * (np.maximum(pi_gate, 0) @ p["W_dec"] + p["b_dec"] - x) / len(x)
    d_auxiliary, d_sparsity = (error @ p["W_dec"].T) * gate, gate / len(x)
    terms = {
        "reconstruction": reconstruction,
        "sparsity": through_encoder(d_sparsity, stop_pre_bias) | {"b_gate": d_sparsity.sum(0)},
        "auxiliary": through_encoder(d_auxiliary, stop_pre_bias) | {"b_gate": d_auxiliary.sum(0)},
    }
    return {term: {name: found.get(name, np.zeros_like(p[name])) for name in p} for term, found in terms.items()}


# --------------------------------------------------------------------------------------------------------------- tests

REACHED = {
    "reconstruction": {"W_enc", "W_dec", "b_dec", "b_mag", "r_mag"},
    "sparsity": {"W_enc", "b_gate", "b_dec"},
    "auxiliary": {"W_enc", "b_gate", "b_dec"},
}


@pytest.mark.parametrize("stop_pre_bias", [False, True])
@pytest.mark.parametrize("term", TERMS)
def test_each_term_reaches_exactly_its_parameters(term: str, stop_pre_bias: bool) -> None:
    """The gradient map of equation 8 and the paper's pseudo-code; `stop_pre_bias` is the reading of its prose."""
    sae = random_sae(stop_pre_bias)
    expected = REACHED[term] - ({"b_dec"} if stop_pre_bias and term != "reconstruction" else set())
    gradients = gradients_of(sae, getattr(sae.training_losses(inputs(), StepContext()), term))
    assert {name for name, gradient in gradients.items() if np.any(gradient != 0)} == expected


def test_an_unfrozen_decoder_learns_from_the_auxiliary_term_and_no_loss_changes() -> None:
    frozen, x = random_sae(), inputs()
    unfrozen = GatedUnfrozenSAE(GatedUnfrozenConfig(), D_IN, D_SAE).double()
    unfrozen.load_state_dict(frozen.state_dict())
    losses = unfrozen.training_losses(x, StepContext())
    assert all(torch.equal(a, b) for a, b in zip(frozen.training_losses(x, StepContext()), losses, strict=True))
    p, found = arrays(unfrozen), gradients_of(unfrozen, losses.auxiliary)
    gate = np.maximum((x.numpy() - p["b_dec"]) @ p["W_enc"] + p["b_gate"], 0)
    error = 2 * (gate @ p["W_dec"] + p["b_dec"] - x.numpy()) / len(x)
    np.testing.assert_allclose(found["W_dec"], gate.T @ error, rtol=1e-10, atol=1e-12)
    as_encoder = gradients_of(frozen, frozen.training_losses(x, StepContext()).auxiliary)["b_dec"]
    np.testing.assert_allclose(found["b_dec"], as_encoder + error.sum(0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("stop_pre_bias", [False, True])
def test_losses_and_gradients_agree_with_the_equations(stop_pre_bias: bool) -> None:
    sae, x = random_sae(stop_pre_bias), inputs()
    losses = sae.training_losses(x, StepContext())
    expected_losses = plain_losses(arrays(sae), x.numpy())
    expected = plain_gradients(arrays(sae), x.numpy(), stop_pre_bias)
    for term in TERMS:
        assert getattr(losses, term).item() == pytest.approx(expected_losses[term], rel=1e-12)
        for name, gradient in gradients_of(sae, getattr(losses, term)).items():
            where = f"{term}: {name}"
            np.testing.assert_allclose(gradient, expected[term][name], rtol=1e-10, atol=1e-12, err_msg=where)


def test_stopping_the_pre_bias_changes_gradients_but_no_loss() -> None:
    with_bias, without = (
        random_sae(False).training_losses(inputs(), StepContext()),
        random_sae(True).training_losses(inputs(), StepContext()),
    )
    assert all(torch.equal(a, b) for a, b in zip(with_bias, without, strict=True))


def test_total_is_equation_8() -> None:
    losses = random_sae().training_losses(inputs(), StepContext())
    expected = losses.reconstruction + 0.7 * losses.sparsity + losses.auxiliary
    assert losses.total(0.7).item() == pytest.approx(expected.item(), rel=1e-15)


def test_losses_report_the_features_that_encode_gives() -> None:
    sae, x = random_sae(), inputs()
    losses: Losses = sae.training_losses(x, StepContext())
    torch.testing.assert_close(losses.f, sae.encode(x).detach(), rtol=1e-12, atol=1e-14)
    assert not losses.f.requires_grad


@pytest.mark.parametrize("stop_pre_bias", [False, True])
def test_training_agrees_with_plain_adam(stop_pre_bias: bool, plain_training) -> None:
    sae, rate, coefficient = random_sae(stop_pre_bias), 0.01, 0.4
    start, batches = arrays(sae), [inputs(seed) for seed in range(10, 40)]

    def gradients(p: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
        terms = plain_gradients(p, x, stop_pre_bias)
        weight = {"reconstruction": 1.0, "sparsity": coefficient, "auxiliary": 1.0}
        return {name: sum(weight[term] * terms[term][name] for term in TERMS) for name in p}

    expected = plain_training(start, gradients, [x.numpy() for x in batches], rate)
    optimizer = Optimizer(sae, TrainConfig(steps=len(batches), batch=BATCH, lr=rate))
    for x in batches:
        optimizer.step(SAE.take_gradients(sae, x, StepContext(coefficient)).gradients, rate)
    for name, value in arrays(sae).items():
        assert np.abs(value - start[name]).max() > rate, f"{name} has not moved"
        np.testing.assert_allclose(value, expected[name], rtol=1e-8, atol=1e-9, err_msg=name)


def test_encoder_is_a_jump_relu() -> None:
    """f = z 1[z > theta] where z > 0 (appendix E); below theta = 0 the gate never binds and f = ReLU(z)."""
    sae, x = random_sae(), inputs(batch=500)
    with torch.no_grad():
        z = (x - sae.b_dec) @ (sae.W_enc * sae.r_mag.exp()) + sae.b_mag
        theta, f = sae.jumprelu_threshold(), sae.encode(x)
    positive = theta > 0
    assert positive.any() and (~positive).any()
    torch.testing.assert_close(f, torch.where(z > theta, torch.relu(z), 0.0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(f[:, ~positive], torch.relu(z)[:, ~positive], rtol=1e-12, atol=1e-12)
    held_back = (f == 0) & (z > 0)
    assert held_back[:, positive].any(), "no feature was gated: the test says nothing about theta > 0"


def test_gating_undoes_the_shrinkage_of_the_toy() -> None:
    """Figure 2's single feature: the penalised gate path settles at 1/2, the magnitude at 1."""
    sae = GatedSAE(GatedConfig(), 1, 1).double()
    with torch.no_grad():
        sae.W_enc.fill_(0.8)
        sae.W_dec.fill_(1.0)
    x = torch.ones(4, 1, dtype=torch.float64)
    optimizer = torch.optim.SGD([sae.W_enc, sae.b_gate, sae.b_mag, sae.r_mag], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        sae.training_losses(x, StepContext()).total(1.0).backward()
        optimizer.step()
    assert sae.training_losses(x, StepContext()).sparsity.item() == pytest.approx(0.5, abs=1e-6)
    assert sae.encode(x).mean().item() == pytest.approx(1.0, abs=1e-6)


def test_step_costs_seven_matrix_products() -> None:
    """Three forward and four backward: the frozen decoder of the auxiliary term has no weight gradient."""
    d_in, d_sae, batch = 32, 96, 256
    sae = GatedSAE(GatedConfig(), d_in, d_sae)
    torch.nn.init.normal_(sae.W_enc)
    x = torch.randn(batch, d_in, generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        sae.training_losses(x, StepContext()).total(0.1).backward()
    products = counter.get_total_flops() / (2 * batch * d_in * d_sae)
    assert 7 <= products < 7 + 8 / batch
