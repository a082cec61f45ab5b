"""The baseline against the paper: equations 1-4, their gradients, the shrinkage of figure 2, the price of a step."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config.schema import TrainConfig
from pipeline.sae.architectures.baseline import BaselineConfig, BaselineSAE
from pipeline.sae.base import SAE
from pipeline.sae.objective import StepContext
from pipeline.training.optimizer import Optimizer

D_IN, D_SAE, BATCH = 5, 12, 40
TERMS = ("reconstruction", "sparsity")


def random_sae(seed: int = 0) -> BaselineSAE:
    """In float64, with every parameter away from zero and a decoder of unit norm."""
    generator = torch.Generator().manual_seed(seed)
    sae = BaselineSAE(BaselineConfig(), D_IN, D_SAE).double()
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    return sae


def inputs(seed: int = 1) -> Tensor:
    return torch.randn(BATCH, D_IN, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arrays(sae: BaselineSAE) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy().copy() for name, parameter in sae.named_parameters()}


def gradients_of(sae: BaselineSAE, term: Tensor) -> dict[str, np.ndarray]:
    names, parameters = zip(*sae.named_parameters(), strict=True)
    found = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True, materialize_grads=True)
    return {name: gradient.numpy() for name, gradient in zip(names, found, strict=True)}


def plain_features(p: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.maximum((x - p["b_dec"]) @ p["W_enc"] + p["b_enc"], 0)


def plain_losses(p: dict[str, np.ndarray], x: np.ndarray) -> dict[str, float]:
    f = plain_features(p, x)
    return {
        "reconstruction": np.mean(np.sum((x - f @ p["W_dec"] - p["b_dec"]) ** 2, axis=1)),
        "sparsity": np.mean(np.sum(np.abs(f), axis=1)),
    }


def plain_gradients(p: dict[str, np.ndarray], x: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Of each term of equation 4, by hand."""
    f = plain_features(p, x)
    error = 2 * (f @ p["W_dec"] + p["b_dec"] - x) / len(x)

    def through_encoder(d_pi: np.ndarray) -> dict[str, np.ndarray]:
        return {"W_enc": (x - p["b_dec"]).T @ d_pi, "b_enc": d_pi.sum(0), "b_dec": -p["W_enc"] @ d_pi.sum(0)}

    reconstruction = through_encoder((error @ p["W_dec"].T) * (f > 0)) | {"W_dec": f.T @ error}
    reconstruction["b_dec"] += error.sum(0)
    sparsity = through_encoder((f > 0) / len(x)) | {"W_dec": np.zeros_like(p["W_dec"])}
    return {"reconstruction": reconstruction, "sparsity": sparsity}


def test_encode_and_decode_are_equations_2_and_3() -> None:
    sae, x = random_sae(), inputs()
    p = arrays(sae)
    f = plain_features(p, x.numpy())
    assert 0 < (f > 0).mean() < 1
    np.testing.assert_allclose(sae.encode(x).detach().numpy(), f, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(sae(x).detach().numpy(), f @ p["W_dec"] + p["b_dec"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("term", TERMS)
def test_only_the_penalty_leaves_the_decoder_alone(term: str) -> None:
    sae = random_sae()
    gradients = gradients_of(sae, getattr(sae.training_losses(inputs(), StepContext()), term))
    reached = {name for name, gradient in gradients.items() if np.any(gradient != 0)}
    assert reached == {"W_enc", "b_enc", "b_dec"} | ({"W_dec"} if term == "reconstruction" else set())


def test_losses_and_gradients_agree_with_the_equations() -> None:
    sae, x = random_sae(), inputs()
    losses = sae.training_losses(x, StepContext())
    expected_losses = plain_losses(arrays(sae), x.numpy())
    expected = plain_gradients(arrays(sae), x.numpy())
    for term in TERMS:
        assert getattr(losses, term).item() == pytest.approx(expected_losses[term], rel=1e-12)
        for name, gradient in gradients_of(sae, getattr(losses, term)).items():
            where = f"{term}: {name}"
            np.testing.assert_allclose(gradient, expected[term][name], rtol=1e-10, atol=1e-12, err_msg=where)
    assert losses.auxiliary.item() == 0
    assert losses.total(0.7).item() == pytest.approx(
        expected_losses["reconstruction"] + 0.7 * expected_losses["sparsity"], rel=1e-12
    )


def test_training_agrees_with_plain_adam(plain_training) -> None:
    sae, rate, coefficient = random_sae(), 0.01, 0.4
    start, batches = arrays(sae), [inputs(seed) for seed in range(10, 40)]

    def gradients(p: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
        terms = plain_gradients(p, x)
        return {name: terms["reconstruction"][name] + coefficient * terms["sparsity"][name] for name in p}

    expected = plain_training(start, gradients, [x.numpy() for x in batches], rate)
    optimizer = Optimizer(sae, TrainConfig(steps=len(batches), batch=BATCH, lr=rate))
    for x in batches:
        optimizer.step(SAE.take_gradients(sae, x, StepContext(coefficient)).gradients, rate)
    for name, value in arrays(sae).items():
        assert np.abs(value - start[name]).max() > rate, f"{name} has not moved"
        np.testing.assert_allclose(value, expected[name], rtol=1e-8, atol=1e-9, err_msg=name)


def test_one_feature_shrinks_to_a_half() -> None:
    """Figure 2: lambda = 1 and one input of 1 make the loss (1 - f)^2 + |f|, least at f = 1/2."""
    sae = BaselineSAE(BaselineConfig(), 1, 1).double()
    with torch.no_grad():
        sae.W_enc.fill_(1.0)
        sae.W_dec.fill_(1.0)
    x = torch.ones(4, 1, dtype=torch.float64)
    assert sae.encode(x).unique().item() == 1.0
    optimizer = torch.optim.SGD([sae.W_enc, sae.b_enc], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        sae.training_losses(x, StepContext()).total(1.0).backward()
        optimizer.step()
    assert sae.encode(x).mean().item() == pytest.approx(0.5, abs=1e-6)


def test_step_costs_five_matrix_products() -> None:
    """Two forward and three backward: no gradient of the inputs is formed."""
    d_in, d_sae, batch = 32, 96, 256
    sae = BaselineSAE(BaselineConfig(), d_in, d_sae)
    torch.nn.init.normal_(sae.W_enc)
    x = torch.randn(batch, d_in, generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        sae.training_losses(x, StepContext()).total(0.1).backward()
    products = counter.get_total_flops() / (2 * batch * d_in * d_sae)
    assert 5 <= products < 5 + 8 / batch
