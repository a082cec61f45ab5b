"""Each site of each family is what plain Hugging Face modules have there, read and spliced, or is refused."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.config.model_shape import model_shape
from pipeline.config.schema import ModelConfig
from pipeline.errors import UserError
from pipeline.language_model.loading import load_language_model
from pipeline.language_model.model import LanguageModel, cross_entropy
from pipeline.language_model.site_check import check_sites
from pipeline.language_model.sites import WIDTHS
from tests.families import (
    CONTEXT,
    FAMILIES,
    LAYERS,
    NOT_MODELS,
    VOCABULARY,
    Recipe,
    read,
    replaced,
    save,
    save_tokenizer,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def some_tokens() -> Tensor:
    drawn = torch.randint(3, VOCABULARY, (2, CONTEXT), generator=torch.Generator().manual_seed(1))
    drawn[:, 0] = 0
    return drawn


def widths(model: ModelConfig, hooks: list[str]) -> dict[str, int]:
    shape = model_shape(model)
    of = {"heads": shape.n_heads * shape.d_head, "d_model": shape.d_model, "d_mlp": shape.d_mlp}
    return {hook: of[WIDTHS[hook.split(".", 2)[2]]] for hook in hooks}


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_sites_are_those_of_plain_modules(family: str, tokenizer: Path, tmp_path: Path):
    recipe, tokens = FAMILIES[family], some_tokens()
    plain = save(recipe, tmp_path, tokenizer)
    model = ModelConfig(name=family, path=str(tmp_path), context=CONTEXT, layer=0)
    language_model = load_language_model(model, CPU)
    places = {hook: place for layer in range(LAYERS) for hook, place in recipe.sites(plain, layer).items()}
    refused = [hook for hook in places if hook.split(".", 2)[2] in recipe.refused]
    for hook in refused:
        with pytest.raises(UserError, match=rf"{re.escape(hook)} of model {family} \({recipe.kind}\) cannot be auto"):
            check_sites(language_model, family, tokens[:1], widths(model, [hook]))
    hooks = [hook for hook in places if hook not in refused]
    check_sites(language_model, family, tokens[:1], widths(model, hooks))
    assert language_model.forwards == 0  # the check is no part of what is counted
    prefix = language_model.prefix(tokens, hooks)
    for hook in hooks:
        compare(recipe, plain, language_model, hook, tokens, prefix.activations[hook], places[hook])


def compare(recipe: Recipe, plain, language_model: LanguageModel, hook: str, tokens: Tensor, found: Tensor, place):
    module, of_input = place
    factor = recipe.factor if hook.endswith("mlp_out") else 1.0
    expected = factor * read(module, of_input, lambda: plain(tokens))
    torch.testing.assert_close(found, expected.view_as(found), atol=1e-5, rtol=1e-5)
    other = 0.3 * found + 0.1 * torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    everywhere = torch.ones_like(tokens, dtype=torch.bool)
    spliced = language_model.spliced(language_model.prefix(tokens, [hook]), hook, other, everywhere)
    logits = replaced(module, of_input, other / factor, lambda: plain(tokens).logits)
    torch.testing.assert_close(spliced, cross_entropy(logits, tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NOT_MODELS)
def test_what_is_no_model_for_us_is_one_line(name: str, tokenizer: Path, tmp_path: Path):
    recipe, words = NOT_MODELS[name]
    save(recipe, tmp_path, tokenizer)
    with pytest.raises(UserError, match=words) as raised:
        load_language_model(ModelConfig(name=name, path=str(tmp_path), context=CONTEXT, layer=0), CPU)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def loaded_gpt2(folder: Path, tokenizer: Path) -> tuple[ModelConfig, LanguageModel]:
    save(FAMILIES["gpt2"], folder, tokenizer)
    model = ModelConfig(name="gpt2", path=str(folder), context=CONTEXT, layer=0)
    return model, load_language_model(model, CPU)


def test_each_fault_of_a_site_is_named(tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, language_model = loaded_gpt2(tmp_path, tokenizer)
    hook, tokens = "blocks.1.hook_mlp_out", some_tokens()[:1]
    kind = r"of model m \(GPT2LMHeadModel\) cannot be autoencoded: "

    def refused(hook: str, width: int, words: str) -> None:
        with pytest.raises(UserError, match=re.escape(hook) + " " + kind + words):
            check_sites(language_model, "m", tokens, {hook: width})

    refused(hook, 33, "it is 32 wide, and config.json says 33")
    refused("blocks.1.hook_nothing", 32, "this class of models has no such hook")
    clean = cross_entropy(language_model._forward(tokens, []), tokens)
    right = language_model.spliced
    monkeypatch.setattr(language_model, "spliced", lambda *given: right(*given) + 0.01)
    refused(hook, 32, "putting back what was read changes a prediction by 0.01 nats")
    monkeypatch.setattr(language_model, "spliced", lambda *given: right(*given) * float("nan"))
    refused(hook, 32, "putting back what was read changes a prediction by nan nats")
    monkeypatch.setattr(language_model, "spliced", lambda *given: clean)
    refused(hook, 32, "ablating it changes no prediction")


def test_what_a_splice_leaves_behind_is_seen(tokenizer: Path, tmp_path: Path):
    """A model that changes in place what spliced passes share would give each of them the last one's activations."""
    _, language_model = loaded_gpt2(tmp_path, tokenizer)
    block = language_model.bridge.get_submodule("blocks.1")
    block.register_forward_pre_hook(lambda module, inputs: (inputs[0].mul_(1.5), *inputs[1:]))
    with pytest.raises(UserError, match="putting back what was read changes a prediction"):
        check_sites(language_model, "m", some_tokens()[:1], {"blocks.1.hook_mlp_out": 32})


def test_bfloat16_and_a_longer_model_than_the_context_are_right_too(tokenizer: Path, tmp_path: Path):
    save(FAMILIES["gemma2"], tmp_path, tokenizer)
    model = ModelConfig(name="g", path=str(tmp_path), context=CONTEXT, layer=0, dtype="bfloat16")
    hooks = [f"blocks.1.{kind}" for kind in ("attn.hook_z", "mlp.hook_post", "hook_mlp_out", "hook_resid_post")]
    check_sites(load_language_model(model, CPU), "g", some_tokens()[:1], widths(model, hooks))


def test_a_context_longer_than_the_model_reads_is_refused(tokenizer: Path, tmp_path: Path):
    save(FAMILIES["neox"], tmp_path, tokenizer)
    model = ModelConfig(name="n", path=str(tmp_path), context=64, layer=0)
    with pytest.raises(UserError, match=r"model\.context=64 is longer than model n reads: at most 32"):
        load_language_model(replace(model, context=64), CPU)
