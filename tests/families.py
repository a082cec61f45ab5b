"""Tiny random models of the families that people have, and where in Hugging Face's own modules the sites are."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

VOCABULARY, CONTEXT, LAYERS = 64, 16, 2


@dataclass(frozen=True)
class Recipe:
    """A family; o takes z, down takes the neurons, mlp_out gives what is added to the residual stream."""

    kind: str  # the class, in transformers
    config: str
    settings: dict[str, Any]
    layer: str
    o: str
    down: str
    mlp_out: str | None = None  # None: down
    factor: float = 1.0  # on mlp_out, as it is added
    refused: tuple[str, ...] = ()  # sites

    def build(self) -> nn.Module:
        """Biases and norms are random too: what is zero or one hides mistakes."""
        import transformers

        torch.manual_seed(0)
        settings = getattr(transformers, self.config)(**self.settings)
        model: nn.Module = getattr(transformers, self.kind)(settings).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        return model

    def sites(self, model: nn.Module, layer: int) -> dict[str, tuple[nn.Module, bool]]:
        """Each hook's module, and whether its input is meant rather than its output."""
        block = model.get_submodule(self.layer.format(layer))
        mlp_out = block.get_submodule(self.mlp_out or self.down)
        return {
            f"blocks.{layer}.attn.hook_z": (block.get_submodule(self.o), True),
            f"blocks.{layer}.mlp.hook_post": (block.get_submodule(self.down), True),
            f"blocks.{layer}.hook_mlp_out": (mlp_out, False),
            f"blocks.{layer}.hook_resid_post": (block, False),
        }


SIZE = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": LAYERS, "max_position_embeddings": 32}
LLAMA = SIZE | {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 80, "pad_token_id": 0}
GPT = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_positions": 32}
HEADS = {"num_attention_heads": 4}
LAYER, OUT, DOWN, POST = "model.layers.{}", "self_attn.o_proj", "mlp.down_proj", "post_feedforward_layernorm"
GPT_LAYER, BLOOM = "transformer.h.{}", ("transformer.h.{}", "self_attention.dense", "mlp.dense_4h_to_h")
NEOX = ("gpt_neox.layers.{}", "attention.dense", "mlp.dense_4h_to_h")
LIKE_LLAMA = (LAYER, OUT, DOWN)
HEAD = {"head_dim": 8}
WINDOW = {"sliding_window": 8}
GEMMA = HEAD | WINDOW | {"query_pre_attn_scalar": 8}


def _llama(name: str, settings: dict[str, Any] | None = None, mlp_out: str | None = None, **more: Any) -> Recipe:
    config = more.pop("config", f"{name}Config")
    return Recipe(f"{name}ForCausalLM", config, LLAMA | (settings or {}), *LIKE_LLAMA, mlp_out, **more)


FAMILIES: dict[str, Recipe] = {
    "neox": Recipe("GPTNeoXForCausalLM", "GPTNeoXConfig", SIZE | HEADS | {"intermediate_size": 96}, *NEOX),
    "neox_sequential": Recipe(
        "GPTNeoXForCausalLM", "GPTNeoXConfig",
        SIZE | HEADS | {"intermediate_size": 96, "use_parallel_residual": False}, *NEOX,
    ),
    "gpt2": Recipe("GPT2LMHeadModel", "GPT2Config", GPT, GPT_LAYER, "attn.c_proj", "mlp.c_proj"),
    "gptj": Recipe("GPTJForCausalLM", "GPTJConfig", GPT | {"rotary_dim": 4}, GPT_LAYER, "attn.out_proj", "mlp.fc_out"),
    "gpt_neo": Recipe(
        "GPTNeoForCausalLM", "GPTNeoConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_layers": LAYERS, "num_heads": 4, "window_size": 8,
         "max_position_embeddings": 32, "attention_types": [[["global", "local"], 1]]},
        GPT_LAYER, "attn.attention.out_proj", "mlp.c_proj",
    ),
    "bigcode": Recipe(
        "GPTBigCodeForCausalLM", "GPTBigCodeConfig", GPT | {"n_inner": 96}, GPT_LAYER, "attn.c_proj", "mlp.c_proj"
    ),
    "llama": _llama("Llama"),
    "mistral": _llama("Mistral", WINDOW),
    "mixtral": Recipe(
        "MixtralForCausalLM", "MixtralConfig", LLAMA | {"num_local_experts": 4}, LAYER, OUT, "mlp",
        refused=("mlp.hook_post",),
    ),
    "mixtral_as_wide": Recipe(  # the width alone does not give it away
        "MixtralForCausalLM", "MixtralConfig", LLAMA | {"num_local_experts": 4, "intermediate_size": 32}, LAYER, OUT,
        "mlp", refused=("mlp.hook_post",),
    ),
    "qwen2": _llama("Qwen2"),
    "qwen3": _llama("Qwen3", HEAD),
    "gemma": _llama("Gemma", {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 24}),
    "gemma2": _llama("Gemma2", GEMMA, POST),
    "gemma3": _llama("Gemma3", GEMMA, POST, config="Gemma3TextConfig"),
    "opt": Recipe(
        "OPTForCausalLM", "OPTConfig", SIZE | HEADS | {"ffn_dim": 96, "word_embed_proj_dim": 32, "pad_token_id": 0},
        "model.decoder.layers.{}", "self_attn.out_proj", "fc2",
    ),
    "bloom": Recipe(
        "BloomForCausalLM", "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": LAYERS, "n_head": 4}, *BLOOM,
    ),
    "falcon": Recipe("FalconForCausalLM", "FalconConfig", SIZE | HEADS | {"ffn_hidden_size": 96}, *BLOOM),
    "olmo2": _llama("Olmo2", None, POST),
    "granite": _llama(
        "Granite", {"residual_multiplier": 0.5, "embedding_multiplier": 2.0, "attention_multiplier": 0.3}, factor=0.5
    ),
    "phi": Recipe("PhiForCausalLM", "PhiConfig", LLAMA, LAYER, "self_attn.dense", "mlp.fc2"),
    "phi3": _llama("Phi3"),
    "mpt": Recipe(
        "MptForCausalLM", "MptConfig",
        {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": LAYERS, "n_heads": 4, "max_seq_len": 32,
         "expansion_ratio": 3},
        "transformer.blocks.{}", "attn.out_proj", "ffn.down_proj",
    ),
    "starcoder2": Recipe("Starcoder2ForCausalLM", "Starcoder2Config", LLAMA, LAYER, OUT, "mlp.c_proj"),
    "stablelm": _llama("StableLm"),
    "cohere": _llama("Cohere"),
}  # fmt: skip

NOT_MODELS: dict[str, tuple[Recipe, str]] = {
    "falcon_alibi": (  # transformers' eager attention adds ALiBi twice
        Recipe("FalconForCausalLM", "FalconConfig",
               SIZE | HEADS | {"alibi": True, "parallel_attn": False, "multi_query": False}, *BLOOM),
        "TransformerLens computes other logits than transformers for FalconForCausalLM",
    ),
    "falcon_grouped": (
        Recipe("FalconForCausalLM", "FalconConfig",
               SIZE | HEADS | {"num_kv_heads": 2, "new_decoder_architecture": True}, *BLOOM),
        "cannot be loaded from .* as FalconForCausalLM: ",
    ),
    "helium": (_llama("Helium", HEAD), "cannot be loaded from .*: Could not determine supported architecture"),
    "bert": (
        Recipe("BertForMaskedLM", "BertConfig", SIZE | HEADS | {"intermediate_size": 96}, LAYER, OUT, DOWN),
        "holds BertForMaskedLM, which predicts no next token",
    ),
    "bert_both_ways": (
        Recipe("BertLMHeadModel", "BertConfig", SIZE | HEADS | {"intermediate_size": 96}, LAYER, OUT, DOWN),
        "is no causal language model: the predictions of BertLMHeadModel follow from later tokens",
    ),
    "t5": (
        Recipe("T5ForConditionalGeneration", "T5Config",
               {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
               LAYER, OUT, DOWN),
        "holds T5ForConditionalGeneration, which has an encoder",
    ),
    "classifier": (
        Recipe("GPT2ForSequenceClassification", "GPT2Config", GPT, GPT_LAYER, "attn.c_proj", "mlp.c_proj"),
        "holds GPT2ForSequenceClassification, which predicts no next token",
    ),
    "mamba": (
        Recipe("MambaForCausalLM", "MambaConfig",
               {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": LAYERS}, LAYER, OUT, DOWN),
        "config.json names no n_heads",
    ),
}  # fmt: skip
"""What is refused as a whole, and in which words."""


def save_tokenizer(folder: Path, words: int = VOCABULARY) -> Path:
    """A tokenizer of so many words, "w3" being token 3."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {"<bos>": 0, "<eos>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return folder


def save(recipe: Recipe, folder: Path, tokenizer: Path) -> nn.Module:
    """The model, in a Hugging Face folder, with a tokenizer's files from another."""
    model = recipe.build()
    model.save_pretrained(folder)
    shutil.copytree(tokenizer, folder, dirs_exist_ok=True)
    return model


def read(module: nn.Module, of_input: bool, run: Callable[[], Any]) -> Tensor:
    """What a module takes or gives in a pass."""
    found: list[Tensor] = []
    if of_input:
        handle = module.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone()))
    else:
        handle = module.register_forward_hook(lambda _, inputs, output: found.append(_first(output).clone()))
    run()
    handle.remove()
    return found[0]


def replaced(module: nn.Module, of_input: bool, by: Tensor, run: Callable[[], Tensor]) -> Tensor:
    """A pass in which a module takes, or gives, something else."""

    def new_output(_: Any, inputs: Any, output: Any) -> Any:
        other = by.view_as(_first(output))
        return (other, *output[1:]) if isinstance(output, tuple) else other

    if of_input:
        handle = module.register_forward_pre_hook(lambda _, inputs: (by.view_as(inputs[0]), *inputs[1:]))
    else:
        handle = module.register_forward_hook(new_output)
    result = run()
    handle.remove()
    return result


def _first(output: Any) -> Tensor:
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first
