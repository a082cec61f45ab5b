"""What an SAE starts from: directions from its seed, an encoder along them as long as it was told to be."""

from dataclasses import replace

import pytest
import torch

from pipeline.activations.blocks import Calibration, calibrate
from pipeline.config.schema import RunConfig, TrainConfig
from pipeline.errors import UserError
from pipeline.sae.base import SAE
from pipeline.training import initialisation
from pipeline.training.initialisation import initialise
from tests.factories import run_config

D_IN, D_SAE = 8, 24


def config(seed: int = 3, tied_init: bool = True, encoder_norm: float = 0.1, data_directions: float = 0.0) -> RunConfig:
    train = TrainConfig(tied_init=tied_init, encoder_norm=encoder_norm, data_directions=data_directions)
    return run_config(train=train, seed=seed)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(torch.randn(400, D_IN, generator=torch.Generator().manual_seed(1)) + 0.5)


@pytest.mark.parametrize("encoder_norm", [0.1, 1.0, 3.0])
def test_a_tied_encoder_lies_along_the_decoder_and_is_as_long_as_asked(calibration, encoder_norm):
    sae, _ = initialise(config(encoder_norm=encoder_norm), calibration, D_SAE)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(D_SAE))
    torch.testing.assert_close(sae.W_enc, encoder_norm * sae.W_dec.T)
    if encoder_norm == 1:
        assert torch.equal(sae.W_enc, sae.W_dec.T)


def test_an_encoder_of_its_own_is_drawn_beside_the_decoder_and_scaled_alike(calibration):
    whole, _ = initialise(config(tied_init=False, encoder_norm=1.0), calibration, D_SAE)
    small, _ = initialise(config(tied_init=False, encoder_norm=0.25), calibration, D_SAE)
    tied, _ = initialise(config(), calibration, D_SAE)
    assert torch.equal(whole.W_dec, tied.W_dec)
    assert torch.equal(small.W_enc, whole.W_enc * 0.25)
    assert whole.W_enc.abs().max() <= (3 / D_IN) ** 0.5
    aligned = torch.nn.functional.cosine_similarity(whole.W_enc.T, whole.W_dec, dim=1).abs()
    assert aligned.max() < 0.99


def test_the_seed_alone_decides_the_draws(calibration):
    one, again, other = (initialise(config(seed=seed), calibration, D_SAE)[0] for seed in (3, 3, 4))
    assert torch.equal(one.W_dec, again.W_dec) and not torch.equal(one.W_dec, other.W_dec)


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_features_may_start_towards_activations(calibration, share):
    """Each activation about the mean draws one or two of the 500 features, as far as it was asked to."""
    d_sae = 500
    alone, _ = initialise(config(), calibration, d_sae)
    drawn, _ = initialise(config(data_directions=share), calibration, d_sae)
    torch.testing.assert_close(drawn.W_dec.norm(dim=1), torch.ones(d_sae))
    torch.testing.assert_close(drawn.W_enc, 0.1 * drawn.W_dec.T)
    of_data = torch.nn.functional.normalize(calibration.activations - calibration.mean, dim=1)
    mixed = torch.nn.functional.normalize((1 - share) * alone.W_dec[:, None] + share * of_data, dim=2)
    near = torch.isclose(mixed, drawn.W_dec[:, None], atol=1e-5).all(2)  # [d_sae, activations]
    assert near.any(1).all()
    if share == 0.5:
        assert near.sum(0).min() == 1 and near.sum(0).max() == 2


def test_b_dec_starts_at_the_mean_of_the_scaled_inputs(calibration):
    sae, _ = initialise(config(), calibration, D_SAE)
    torch.testing.assert_close(sae.b_dec, calibration.mean * calibration.scale("sqrt_d_in"))


class TrainedByAutograd(SAE):
    feature_parameters = ()


def test_bfloat16_is_refused_where_autograd_trains(calibration, monkeypatch):
    monkeypatch.setattr(initialisation, "sae_class", lambda name: TrainedByAutograd)
    run = config()
    with pytest.raises(UserError, match=r"train\.precision=bfloat16: gated is trained by autograd, in float32"):
        initialise(replace(run, train=replace(run.train, precision="bfloat16")), calibration, D_SAE)
