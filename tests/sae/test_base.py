"""What every architecture inherits: folding of scale and norm, and a feature's new beginning."""

import pytest
import torch
from torch import Tensor

from pipeline.sae.base import SAE
from pipeline.sae.registry import config_class, sae_class

D_IN, D_SAE = 6, 15


@pytest.fixture(params=["baseline", "gated"])
def sae(request: pytest.FixtureRequest) -> SAE:
    """In float64, every parameter random: its decoder is not of unit norm."""
    generator = torch.Generator().manual_seed(3)
    sae = sae_class(request.param)(config_class(request.param)(), D_IN, D_SAE).double().requires_grad_(False)
    for parameter in sae.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return sae


@pytest.fixture
def x() -> Tensor:
    return 3 * torch.randn(50, D_IN, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_folding_the_input_scale_moves_it_into_the_weights(sae: SAE, x: Tensor) -> None:
    scale = 0.37
    features, reconstruction = sae.encode(scale * x), sae(scale * x) / scale
    sae.fold_input_scale(scale)
    torch.testing.assert_close(sae.encode(x), features, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(sae(x), reconstruction, rtol=1e-10, atol=1e-12)


def test_folding_the_decoder_norm_keeps_the_reconstruction(sae: SAE, x: Tensor) -> None:
    features, reconstruction, norm = sae.encode(x), sae(x), sae.W_dec.norm(dim=1)
    sae.fold_decoder_norm()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(D_SAE, dtype=torch.float64))
    torch.testing.assert_close(sae(x), reconstruction, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(sae.encode(x), features * norm, rtol=1e-10, atol=1e-12)


def test_both_foldings_leave_unit_decoders_and_the_same_reconstruction(sae: SAE, x: Tensor) -> None:
    scale = 2.9
    active, reconstruction = sae.encode(scale * x) > 0, sae(scale * x) / scale
    assert 0.1 < active.double().mean() < 0.9
    sae.fold_input_scale(scale)
    sae.fold_decoder_norm()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(D_SAE, dtype=torch.float64))
    torch.testing.assert_close(sae(x), reconstruction, rtol=1e-10, atol=1e-12)
    assert torch.equal(sae.encode(x) > 0, active)


def test_reinitialised_features_keep_nothing_and_others_everything(sae: SAE) -> None:
    features, others = torch.tensor([1, 7]), torch.tensor([i for i in range(D_SAE) if i not in (1, 7)])
    directions = torch.nn.functional.normalize(torch.ones(2, D_IN, dtype=torch.float64), dim=1)
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    sae.reinitialise(features, directions, encoder_norm=0.25)
    assert torch.equal(sae.W_dec[features], directions)
    assert torch.equal(sae.W_enc[:, features], 0.25 * directions.T)
    for name in sae.by_feature():
        assert not getattr(sae, name)[features].any()
        assert torch.equal(getattr(sae, name)[others], before[name][others])
    assert torch.equal(sae.W_enc[:, others], before["W_enc"][:, others])
    assert torch.equal(sae.W_dec[others], before["W_dec"][others])
    assert torch.equal(sae.b_dec, before["b_dec"])
