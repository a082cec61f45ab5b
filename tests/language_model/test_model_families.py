"""Every family of language models is read and spliced alike: NeoX, GPT-2, Gemma, Llama, and legacy one-layer GELU.

What the hooks give is compared with what plain forward hooks find inside the Hugging Face model.
"""

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config import schema
from pipeline.config.model_shape import model_shape, read_model_config, shape_of_config
from pipeline.config.schema import ModelConfig, ModelShape, RunConfig
from pipeline.errors import UserError
from pipeline.language_model.loading import load_language_model
from pipeline.language_model.model import LanguageModel, Prefix, cross_entropy
from pipeline.language_model.sites import d_in
from pipeline.storage.places import CONF
from tests.factories import run_config

VOCABULARY, CONTEXT, LAYERS = 64, 16, 2
SITES = ("attn_z", "mlp_out", "mlp_post", "resid_post")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Recipe:
    """A tiny model of a family, and where in it the sites are: modules of layer L, whose input or output is meant."""

    build: Callable[[], nn.Module]
    layer: str
    attention_output: str  # takes z
    mlp_output: str  # takes the neurons, gives mlp_out


def recipes() -> dict[str, Recipe]:
    import transformers as hf

    size = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": LAYERS, "max_position_embeddings": 32}
    neox = hf.GPTNeoXConfig(**size, num_attention_heads=4, intermediate_size=96)
    gpt2 = hf.GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=LAYERS, n_head=4, n_positions=32)
    gemma = hf.GemmaConfig(
        **size, num_attention_heads=2, num_key_value_heads=1, head_dim=24, intermediate_size=80, hidden_act="gelu"
    )
    llama = hf.LlamaConfig(**size, num_attention_heads=4, num_key_value_heads=2, intermediate_size=80)
    return {
        "neox": Recipe(
            lambda: hf.GPTNeoXForCausalLM(neox), "gpt_neox.layers.{}", "attention.dense", "mlp.dense_4h_to_h"
        ),
        "gpt2": Recipe(lambda: hf.GPT2LMHeadModel(gpt2), "transformer.h.{}", "attn.c_proj", "mlp.c_proj"),
        "gemma": Recipe(lambda: hf.GemmaForCausalLM(gemma), "model.layers.{}", "self_attn.o_proj", "mlp.down_proj"),
        "llama": Recipe(lambda: hf.LlamaForCausalLM(llama), "model.layers.{}", "self_attn.o_proj", "mlp.down_proj"),
    }


@dataclass(frozen=True)
class Family:
    name: str
    model: ModelConfig
    language_model: LanguageModel
    reference: nn.Module
    inside: Callable[[Tensor], dict[str, Tensor]]  # activations by hook name, without TransformerLens


def save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<bos>": 0, "<eos>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>")
    fast.save_pretrained(folder)


def hugging_face_family(name: str, folder: Path) -> Family:
    recipe = recipes()[name]
    torch.manual_seed(0)
    reference = recipe.build().eval().requires_grad_(False)
    for parameter in reference.parameters():  # biases and norms too: what is zero or one hides mistakes
        parameter.add_(0.05 * torch.randn_like(parameter))
    reference.save_pretrained(folder)
    save_tokenizer(folder)

    def inside(tokens: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        handles = []
        for layer in range(LAYERS):
            block = reference.get_submodule(recipe.layer.format(layer))
            attention, mlp = block.get_submodule(recipe.attention_output), block.get_submodule(recipe.mlp_output)
            block_output = f"blocks.{layer}.hook_resid_post"
            handles += [
                attention.register_forward_pre_hook(keep_input(found, f"blocks.{layer}.attn.hook_z")),
                mlp.register_forward_pre_hook(keep_input(found, f"blocks.{layer}.mlp.hook_post")),
                mlp.register_forward_hook(keep_output(found, f"blocks.{layer}.hook_mlp_out")),
                block.register_forward_hook(keep_output(found, block_output)),
            ]
        reference(tokens)
        for handle in handles:
            handle.remove()
        return found

    model = ModelConfig(name=name, path=str(folder), context=CONTEXT, layer=0)
    return Family(name, model, load_language_model(model, CPU), reference, inside)


def keep_input(found: dict[str, Tensor], name: str) -> Callable[..., None]:
    return lambda module, inputs: found.update({name: inputs[0].detach()})


def keep_output(found: dict[str, Tensor], name: str) -> Callable[..., None]:
    return lambda module, inputs, output: found.update({name: output[0] if isinstance(output, tuple) else output})


LEGACY = ModelConfig(
    name="legacy", hub_id="NeelNanda/tiny", legacy=True, context=CONTEXT, layer=0,
    shape=ModelShape(n_layers=1, d_model=32, n_heads=4, d_head=8, d_mlp=128),
)  # fmt: skip


class OneLayerGelu(nn.Module):
    """A one-layer GELU transformer by the textbook, on TransformerLens' names of weights."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shapes = {
            "embed.W_E": (VOCABULARY, 32), "pos_embed.W_pos": (32, 32), "unembed.W_U": (32, VOCABULARY),
            "unembed.b_U": (VOCABULARY,), "ln_final.w": (32,), "ln_final.b": (32,),
        } | {
            f"blocks.0.{name}": shape for name, shape in {
                "ln1.w": (32,), "ln1.b": (32,), "ln2.w": (32,), "ln2.b": (32,),
                "attn.W_Q": (4, 32, 8), "attn.W_K": (4, 32, 8), "attn.W_V": (4, 32, 8), "attn.W_O": (4, 8, 32),
                "attn.b_Q": (4, 8), "attn.b_K": (4, 8), "attn.b_V": (4, 8), "attn.b_O": (32,),
                "mlp.W_in": (32, 128), "mlp.b_in": (128,), "mlp.W_out": (128, 32), "mlp.b_out": (32,),
            }.items()
        }  # fmt: skip
        self.weights = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits_and_sites(tokens)[0]

    def logits_and_sites(self, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        w = {name.removeprefix("blocks.0."): weight for name, weight in self.weights.items()}
        residual = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: tokens.shape[1]]
        x = functional.layer_norm(residual, (32,), w["ln1.w"], w["ln1.b"])
        q, k, v = (torch.einsum("bpm,hmd->bhpd", x, w[f"attn.W_{n}"]) + w[f"attn.b_{n}"][:, None] for n in "QKV")
        z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        residual = residual + torch.einsum("bhpd,hdm->bpm", z, w["attn.W_O"]) + w["attn.b_O"]
        x = functional.layer_norm(residual, (32,), w["ln2.w"], w["ln2.b"])
        neurons = functional.gelu(x @ w["mlp.W_in"] + w["mlp.b_in"])
        mlp_out = neurons @ w["mlp.W_out"] + w["mlp.b_out"]
        residual = residual + mlp_out
        x = functional.layer_norm(residual, (32,), w["ln_final.w"], w["ln_final.b"])
        sites = {
            "blocks.0.attn.hook_z": z.transpose(1, 2).flatten(2), "blocks.0.hook_mlp_out": mlp_out,
            "blocks.0.mlp.hook_post": neurons, "blocks.0.hook_resid_post": residual,
        }  # fmt: skip
        return x @ w["unembed.W_U"] + w["unembed.b_U"], sites


def legacy_family(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """A hub repository of TransformerLens' old form, with the hub's two functions answered from a folder."""
    import huggingface_hub

    reference = OneLayerGelu()
    written = {
        "d_model": 32, "n_layers": 1, "d_mlp": 128, "d_head": 8, "n_heads": 4, "n_ctx": 32, "d_vocab": VOCABULARY,
        "act_fn": "gelu", "attn_only": False, "normalization": "LN",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(written))
    torch.save(reference.weights, folder / "model_final.pth")
    names = [path.name for path in folder.iterdir()]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repository, name: str(folder / name))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repository: names)
    language_model = load_language_model(LEGACY, CPU)
    return Family("legacy", LEGACY, language_model, reference, lambda tokens: reference.logits_and_sites(tokens)[1])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small are slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=["neox", "gpt2", "gemma", "llama", "legacy"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "legacy":
        with pytest.MonkeyPatch.context() as monkeypatch:
            return legacy_family(folder, monkeypatch)
    return hugging_face_family(request.param, folder)


@pytest.fixture(scope="session")
def tokens() -> Tensor:
    drawn = torch.randint(3, VOCABULARY, (3, CONTEXT), generator=torch.Generator().manual_seed(1))
    drawn[:, 0] = 0
    return drawn


@pytest.fixture(scope="session")
def where(tokens: Tensor) -> Tensor:
    return tokens != 0


def runs(family: Family) -> list[RunConfig]:
    """One run for every site of conf/site/ that is used here, and layer of the model."""
    conf = CONF / "site"
    sites = [schema.SiteConfig(**OmegaConf.load(conf / f"{name}.yaml")) for name in SITES]
    data = schema.DataConfig(name="none", source="files")
    return [
        run_config(model=family.model, site=site, data=data, layer=layer)
        for layer in range(model_shape(family.model).n_layers)
        for site in sites
    ]


def hooks(family: Family) -> list[str]:
    return [run.hook_name for run in runs(family)]


def logits(family: Family, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        output = family.reference(tokens)
    return output if isinstance(output, Tensor) else output.logits


def test_shape_is_read_from_the_configuration_as_the_loaded_model_has_it(family: Family):
    shape, loaded = replace(model_shape(family.model), positions=None), family.language_model.bridge.cfg
    assert shape == ModelShape(loaded.n_layers, loaded.d_model, loaded.n_heads, loaded.d_head, loaded.d_mlp)
    if family.model.path is not None:
        read = shape_of_config(read_model_config(Path(family.model.path)))
        assert read == replace(shape, positions=32)


def test_activations_are_what_plain_hooks_find(family: Family, tokens: Tensor):
    found, expected = family.language_model.activations(tokens, hooks(family)), family.inside(tokens)
    assert list(found.keys() ^ set(hooks(family))) == []
    for run in runs(family):
        activation = found[run.hook_name]
        assert activation.shape == (*tokens.shape, d_in(run)) and activation.dtype == torch.float32
        torch.testing.assert_close(activation, expected[run.hook_name], atol=1e-5, rtol=1e-5)


def clean_pass(language_model: LanguageModel, tokens: Tensor, names: list[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """A whole pass of its own: cross-entropies, and the activations on the way."""
    found: dict[str, Tensor] = {}
    hooks = [(name, lambda x, hook, name=name: found.update({name: x.flatten(2).float()})) for name in names]
    return cross_entropy(language_model._forward(tokens, hooks), tokens), found


def test_activations_do_not_depend_on_what_else_is_asked_for(family: Family, tokens: Tensor):
    _, all_of_them = clean_pass(family.language_model, tokens, hooks(family))
    for hook in hooks(family):
        assert torch.equal(family.language_model.activations(tokens, [hook])[hook], all_of_them[hook])


def test_each_call_is_one_forward(family: Family, tokens: Tensor, where: Tensor):
    language_model, before = family.language_model, family.language_model.forwards
    prefix = language_model.prefix(tokens, hooks(family))
    clean_pass(language_model, tokens, hooks(family))
    language_model.spliced(prefix, hooks(family)[0], prefix.activations[hooks(family)[0]], where)
    assert language_model.forwards - before == 3


def test_the_forward_stops_at_the_last_hook_that_is_needed(family: Family, tokens: Tensor):
    bridge, ran = family.language_model.bridge, []
    names = [f"blocks.{layer}" for layer in range(len(bridge.blocks))]
    watched = {name: bridge.get_submodule(name) for name in [*names, "unembed"]}
    handles = [m.register_forward_pre_hook(lambda *_, name=name: ran.append(name)) for name, m in watched.items()]
    for layer in range(len(bridge.blocks)):
        for hook in (hook for hook in hooks(family) if hook.startswith(f"blocks.{layer}.")):
            ran.clear()
            family.language_model.activations(tokens, [hook])
            assert ran == names[: layer + 1]  # not the layers above, and never the unembedding
    for handle in handles:
        handle.remove()


def test_stopping_early_leaves_later_forwards_whole(family: Family, tokens: Tensor):
    before, _ = clean_pass(family.language_model, tokens, hooks(family))
    family.language_model.activations(tokens, hooks(family)[:1])
    after, _ = clean_pass(family.language_model, tokens, hooks(family))
    assert torch.equal(before, after)


def test_cross_entropy_is_that_of_the_plain_model(family: Family, tokens: Tensor):
    found, _ = clean_pass(family.language_model, tokens, [])
    assert found.shape == (len(tokens), CONTEXT - 1)
    torch.testing.assert_close(found, cross_entropy(logits(family, tokens), tokens), atol=1e-5, rtol=0)


def test_cross_entropy_of_position_t_is_about_token_t_plus_1(family: Family, tokens: Tensor):
    probabilities = logits(family, tokens).log_softmax(-1)
    found, _ = clean_pass(family.language_model, tokens, [])
    by_hand = [[-probabilities[row, t, tokens[row, t + 1]].item() for t in range(CONTEXT - 1)] for row in range(3)]
    torch.testing.assert_close(found, torch.tensor(by_hand), atol=1e-5, rtol=0)


def prefix_of(family: Family, tokens: Tensor) -> Prefix:
    return family.language_model.prefix(tokens, hooks(family))


NOT_RUN_AGAIN = {"attn_z": {"attn.q"}, "mlp_out": {"attn.q", "mlp.in"}, "mlp_post": {"attn.q", "mlp.in"}}
"""Of the site's own block; at resid_post nothing of it is run."""


def test_spliced_passes_run_nothing_before_their_site(family: Family, tokens: Tensor, where: Tensor):
    language_model, ran = family.language_model, list[tuple[int, str]]()
    prefix, blocks = prefix_of(family, tokens), range(len(language_model.bridge.blocks))
    parts = ("ln1", "attn.q", "mlp.in")
    modules = {
        (layer, part): language_model.bridge.get_submodule(f"blocks.{layer}.{part}")
        for layer in blocks
        for part in parts
    }
    clean_pass(language_model, tokens, [])
    handles = [m.register_forward_pre_hook(lambda *_, at=at: ran.append(at)) for at, m in modules.items()]
    clean_pass(language_model, tokens, [])
    whole = set(ran)
    assert whole == modules.keys()
    for run in runs(family):
        ran.clear()
        language_model.spliced(prefix, run.hook_name, prefix.activations[run.hook_name], where)
        before = {(run.layer, part) for part in NOT_RUN_AGAIN.get(run.site.name, parts)}
        assert set(ran) == {at for at in whole if at[0] >= run.layer} - before, run.hook_name
    ran.clear()
    clean_pass(language_model, tokens, [])
    assert set(ran) == whole, "all run again afterwards"
    for handle in handles:
        handle.remove()


def test_splicing_the_identity_changes_nothing(family: Family, tokens: Tensor, where: Tensor):
    clean, activations = clean_pass(family.language_model, tokens, hooks(family))
    prefix = prefix_of(family, tokens)
    for hook in hooks(family):
        for mask in (where, torch.ones_like(where)):
            assert torch.equal(family.language_model.spliced(prefix, hook, activations[hook], mask), clean)


def test_splicing_zeros_changes_predictions(family: Family, tokens: Tensor, where: Tensor):
    clean, activations = clean_pass(family.language_model, tokens, hooks(family))
    prefix = prefix_of(family, tokens)
    for hook in hooks(family):
        spliced = family.language_model.spliced(prefix, hook, torch.zeros_like(activations[hook]), where)
        assert (spliced - clean).abs()[:, 1:].min() > 0
        torch.testing.assert_close(spliced[:, 0], clean[:, 0])  # made from BOS alone, which is not replaced


def test_positions_outside_the_mask_are_not_replaced(family: Family, tokens: Tensor, where: Tensor):
    clean, activations = clean_pass(family.language_model, tokens, hooks(family))
    prefix = prefix_of(family, tokens)
    for hook in hooks(family):
        nonsense = torch.full_like(activations[hook], 1e3)
        assert torch.equal(family.language_model.spliced(prefix, hook, nonsense, torch.zeros_like(where)), clean)
        late = torch.zeros_like(where)
        late[:, 9:] = True
        spliced = family.language_model.spliced(prefix, hook, nonsense, late)
        torch.testing.assert_close(spliced[:, :9], clean[:, :9])
        assert (spliced - clean).abs()[:, 9:].min() > 0


def test_zeros_at_the_last_residual_leave_the_final_norm_and_unembedding_alone(family: Family, tokens: Tensor):
    last = hooks(family)[-1]
    prefix = prefix_of(family, tokens)
    width = prefix.activations[last].shape
    everywhere = torch.ones_like(tokens, dtype=torch.bool)
    spliced = family.language_model.spliced(prefix, last, torch.zeros(width), everywhere)
    for token in tokens[:, 1:].unique():  # the same prediction everywhere: only the target decides
        losses = spliced[tokens[:, 1:] == token]
        torch.testing.assert_close(losses, losses[:1].expand_as(losses))


@pytest.fixture(scope="session")
def gemma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gemma_again")
    recipes()["gemma"].build().save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def test_bfloat16_identity_changes_nothing_though_sites_are_read_as_float32(gemma_folder: Path, tokens: Tensor):
    model = ModelConfig(name="gemma", path=str(gemma_folder), context=CONTEXT, layer=0, dtype="bfloat16")
    language_model = load_language_model(model, CPU)
    names = [f"blocks.1.{name}" for name in ("attn.hook_z", "hook_mlp_out", "mlp.hook_post", "hook_resid_post")]
    clean, activations = clean_pass(language_model, tokens, names)
    prefix = language_model.prefix(tokens, names)
    assert clean.dtype == torch.float32
    for name in names:
        assert activations[name].dtype == torch.float32
        assert torch.equal(language_model.spliced(prefix, name, activations[name], tokens != 0), clean)


def test_a_frozen_model_takes_no_gradient(family: Family):
    assert not any(parameter.requires_grad for parameter in family.language_model.bridge.parameters())


@pytest.mark.parametrize("part", ["n_layers", "d_model", "n_heads", "d_head", "d_mlp"])
def test_a_shape_that_is_not_the_models_is_named(part: str, gemma_folder: Path):
    model = ModelConfig(name="gemma", path=str(gemma_folder), context=CONTEXT, layer=0)
    right = model_shape(model)
    wrong = replace(right, **{part: 7})
    with pytest.raises(UserError, match=rf"model.shape.{part}=7, but gemma as loaded has {getattr(right, part)}"):
        load_language_model(replace(model, shape=wrong), CPU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"legacy": False, "path": "/nowhere"}, "model.path=/nowhere is not a folder"),
        ({"hub_id": "somebody/else"}, "legacy cannot be loaded from somebody/else as a causal language model: "),
    ],
)
def test_what_cannot_be_loaded_is_one_line(changes: dict[str, Any], words: str):
    model = replace(LEGACY, **changes)
    with pytest.raises(UserError, match=words) as raised:
        load_language_model(model, CPU)
    assert "\n" not in str(raised.value)


def test_a_configuration_without_a_part_of_the_shape_says_which():
    incomplete: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2}
    with pytest.raises(UserError, match=r"config.json names no n_heads \(num_attention_heads or n_head or "):
        shape_of_config(incomplete)


@pytest.mark.slow
def test_no_attention_pattern_is_kept(family: Family) -> None:
    """One of each layer would be gigabytes in a large model."""
    tokens = torch.randint(1, VOCABULARY, (3, CONTEXT))
    hook = "blocks.0.hook_resid_post"
    prefix = family.language_model.prefix(tokens, [hook])
    where = torch.ones(tokens.shape, dtype=torch.bool)
    family.language_model.spliced(prefix, hook, prefix.activations[hook], where)
    del prefix
    gc.collect()
    shapes = [each.shape for each in gc.get_objects() if type(each) is Tensor]
    assert not [shape for shape in shapes if len(shape) == 4 and shape[0] == 3 and shape[2:] == (CONTEXT, CONTEXT)]
