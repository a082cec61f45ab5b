"""SAEs on disk: SAELens' names and shapes, and the same numbers on the way back."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.errors import DamagedFile, UserError
from pipeline.sae.architectures.baseline import BaselineConfig, BaselineSAE
from pipeline.sae.architectures.gated import GatedConfig, GatedSAE
from pipeline.sae.base import SAE
from pipeline.sae.saved import CONFIG, WEIGHTS, load_sae, save_sae

D_IN, D_SAE = 6, 15
HOOK = "blocks.1.hook_resid_post"
COMMON = {"W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,)}
SHAPES = {
    "baseline": COMMON | {"b_enc": (D_SAE,)},
    "gated": COMMON | {"b_gate": (D_SAE,), "r_mag": (D_SAE,), "b_mag": (D_SAE,)},
}


@pytest.fixture(params=["baseline", "gated"])
def sae(request: pytest.FixtureRequest) -> SAE:
    made = {
        "baseline": lambda: BaselineSAE(BaselineConfig(expansion=2.5), D_IN, D_SAE),
        "gated": lambda: GatedSAE(GatedConfig(expansion=2.5, stop_pre_bias=True), D_IN, D_SAE),
    }[request.param]()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def save(sae: SAE, folder: Path, hook_name: str = HOOK) -> None:
    save_sae(sae, folder, {"hook_name": hook_name, "architecture": asdict(sae.config)})


def test_round_trip_is_exact(sae: SAE, tmp_path: Path) -> None:
    save(sae, tmp_path)
    loaded = load_sae(tmp_path)
    assert type(loaded) is type(sae) and loaded.config == sae.config
    for name, value in sae.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    x = torch.randn(20, D_IN, generator=torch.Generator().manual_seed(6))
    assert torch.equal(loaded(x), sae(x))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_names_and_shapes_are_those_of_saelens(sae: SAE, tmp_path: Path) -> None:
    save(sae, tmp_path)
    found = {name: tuple(value.shape) for name, value in load_file(tmp_path / WEIGHTS).items()}
    assert found == SHAPES[sae.config.name]
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["architecture"] == {"baseline": "standard", "gated": "gated"}[sae.config.name]
    assert (config["d_in"], config["d_sae"], config["dtype"]) == (D_IN, D_SAE, "float32")
    assert config["apply_b_dec_to_input"] is True and config["normalize_activations"] == "none"
    assert config["reshape_activations"] == "none" and config["metadata"]["hook_name"] == HOOK
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, WEIGHTS]


def test_weights_read_by_saelens_formula_give_the_same_features(sae: SAE, tmp_path: Path) -> None:
    """As sae_lens/saes/standard_sae.py and gated_sae.py encode and decode."""
    save(sae, tmp_path)
    w = load_file(tmp_path / WEIGHTS)
    x = torch.randn(20, D_IN, generator=torch.Generator().manual_seed(6))
    centred = x - w["b_dec"]
    if sae.config.name == "gated":
        magnitude = torch.relu(centred @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"])
        f = magnitude * (centred @ w["W_enc"] + w["b_gate"] > 0)
    else:
        f = torch.relu(centred @ w["W_enc"] + w["b_enc"])
    torch.testing.assert_close(sae.encode(x).detach(), f, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(x).detach(), f @ w["W_dec"] + w["b_dec"], rtol=1e-4, atol=1e-4)


def test_heads_are_declared_for_reshaping(sae: SAE, tmp_path: Path) -> None:
    save(sae, tmp_path, "blocks.0.attn.hook_z")
    assert json.loads((tmp_path / CONFIG).read_text())["reshape_activations"] == "hook_z"


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_half_a_folder_is_an_error_in_one_line(sae: SAE, tmp_path: Path, missing: str) -> None:
    save(sae, tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=missing) as raised:
        load_sae(tmp_path)
    assert "\n" not in str(raised.value)


def test_no_byte_of_either_file_changes_unseen(sae: SAE, tmp_path: Path) -> None:
    """A byte changed anywhere is refused, or changes nothing that is read (the kind of white space)."""
    save(sae, tmp_path)
    before = sae.state_dict()
    for name, step in ((CONFIG, 1), (WEIGHTS, 37)):
        whole = (tmp_path / name).read_bytes()
        refused = 0
        for place in range(0, len(whole), step):
            (tmp_path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            try:
                loaded = load_sae(tmp_path)
            except (DamagedFile, UserError) as error:
                assert "\n" not in str(error) and name in str(error)
                refused += 1
            else:
                assert loaded.config == sae.config and all(
                    torch.equal(v, before[k]) for k, v in loaded.state_dict().items()
                )
        assert refused == len(range(0, len(whole), step))
        (tmp_path / name).write_bytes(whole)


def test_weights_of_another_sae_are_refused(sae: SAE, tmp_path: Path) -> None:
    for name, factor in (("one", 1.0), ("other", 2.0)):
        with torch.no_grad():
            sae.b_dec.mul_(factor)
        save(sae, tmp_path / name)
    (tmp_path / "other" / WEIGHTS).replace(tmp_path / "one" / WEIGHTS)
    with pytest.raises(DamagedFile, match="its checksum differs"):
        load_sae(tmp_path / "one")
