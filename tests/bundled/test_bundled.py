"""The bundled text and model."""

import re

import pytest
import torch

from pipeline.bundled import corpus
from pipeline.bundled.train import CONTEXT, FOLDER, FastDropout, FusedCrossEntropy, Windows, encode, evaluate

CARD = FOLDER / "README.md"


def test_the_split_is_by_year_and_every_document_has_a_side():
    names = {split: [name for name, _ in corpus.documents(split)] for split in ("train", "validation", "test")}
    years = {split: {name[:4] for name in found} for split, found in names.items()}
    assert sum(map(len, names.values())) == 249
    assert not years["train"] & years["test"] and not years["train"] & years["validation"]
    assert not years["validation"] & years["test"]


@pytest.mark.slow
def test_the_committed_model_is_small_and_as_good_as_its_card_says():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert (FOLDER / "model.safetensors").stat().st_size <= 10_000_000
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    assert model.config.num_hidden_layers >= 2 and model.config.hidden_size >= 256 and model.config.hidden_act == "gelu"
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert tokenizer.bos_token_id == 0
    some = encode(tokenizer.backend_tokenizer, "test")[:3]
    card = CARD.read_text()
    stated = re.search(r"\| test \| [\d,]+ \| ([\d.]+) \| ([\d.]+) \|", card)
    xz = re.search(r"needs ([\d.]+) bits", card)
    assert stated and xz and float(stated[2]) < float(xz[1]) and float(stated[2]) < 1.6
    assert evaluate(model, some) == pytest.approx(float(stated[1]), abs=0.4)


def test_windows_stay_inside_documents():
    documents = [torch.full((CONTEXT + 5 + n,), n) for n in range(1, 4)]
    batch = Windows(documents, seed=0).batch(64)
    assert batch.shape == (64, CONTEXT) and (batch[:, 0] == 0).all()
    assert all(len(row[1:].unique()) == 1 for row in batch)


def test_the_fused_loss_is_cross_entropy():
    torch.manual_seed(0)
    hidden, weight = torch.randn(300, 16), torch.randn(40, 16, requires_grad=True)
    hidden.requires_grad_(True)
    target = torch.randint(40, (300,))
    FusedCrossEntropy.apply(hidden, weight, target).backward()
    fused = hidden.grad.clone(), weight.grad.clone()
    hidden.grad = weight.grad = None
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, target)
    plain.backward()
    for one, other in zip(fused, (hidden.grad, weight.grad), strict=True):
        assert (one - other).norm() / other.norm() < 0.02  # bfloat16


def test_fast_dropout_drops_what_it_says():
    torch.manual_seed(0)
    dropped = FastDropout(0.1).train()(torch.ones(512, 512))
    share = (7 * 26 / 256 + 26 / 128) / 8
    assert (dropped == 0).double().mean().item() == pytest.approx(share, abs=0.003)
    assert dropped.mean().item() == pytest.approx((1 - share) * 256 / 230, abs=0.003)
    assert torch.equal(FastDropout(0.1).eval()(dropped), dropped)
