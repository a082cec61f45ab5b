"""A language model that is not the one named: each way to alter a folder ends in one line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.config.model_shape import read_model_config, shape_of_config
from pipeline.config.schema import ModelConfig
from pipeline.errors import UserError
from pipeline.language_model.folder import check_model
from pipeline.language_model.loading import check_tensors, load_language_model
from pipeline.tokens.contexts import Packer
from tests.families import CONTEXT, FAMILIES, VOCABULARY, save, save_tokenizer

Alter = Callable[[Path], Any]
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("right")
    save(FAMILIES["neox"], folder, save_tokenizer(tmp_path_factory.mktemp("tokenizer")))
    return folder


def config(**changes: Any) -> Alter:
    """Changed settings in config.json; None takes one out."""

    def alter(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))

    return alter


def nulled(name: str) -> Alter:
    def alter(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {name: None}))

    return alter


def text(name: str, content: str) -> Alter:
    return lambda folder: (folder / name).write_text(content)


def tensors(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Alter:
    return lambda folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})


def without(part: str) -> Alter:
    return tensors(lambda held: {name: tensor for name, tensor in held.items() if part not in name})


def cut(name: str) -> Alter:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def gone(*names: str) -> Alter:
    return lambda folder: [path.unlink() for name in names for path in folder.glob(name)]


def sharded(then: Alter) -> Alter:
    def alter(folder: Path) -> None:
        gone(WEIGHTS)(folder)
        FAMILIES["neox"].build().save_pretrained(folder, max_shard_size="20KB")
        then(folder)

    return alter


def pickled(content: Any) -> Alter:
    def alter(folder: Path) -> None:
        torch.save(content or load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
        gone(WEIGHTS)(folder)

    return alter


def bytes_for_weights(content: bytes) -> Alter:
    def alter(folder: Path) -> None:
        (folder / "pytorch_model.bin").write_bytes(content)
        gone(WEIGHTS)(folder)

    return alter


class Planted:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was executed",)


def more_words(folder: Path) -> None:
    save_tokenizer(folder, VOCABULARY + 5)


BEFORE: dict[str, tuple[Alter, str]] = {
    "no folder": (shutil.rmtree, "is not a folder"),
    "no config": (gone("config.json"), "holds no config.json"),
    "config empty": (text("config.json", ""), "config.json is not JSON"),
    "config cut": (cut("config.json"), "config.json is not JSON"),
    "config foreign bytes": (
        lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json is not JSON"),
    "config deep": (text("config.json", "[" * 100_000), "config.json is not JSON"),
    "config a list": (text("config.json", "[1, 2]"), "holds a list: expected a JSON object"),
    "config null": (text("config.json", "null"), "holds a NoneType: expected a JSON object"),
    "no model type": (config(model_type=None), 'without "model_type"'),
    "no layers": (config(num_hidden_layers=None), "config.json names no n_layers"),
    "a size in words": (config(hidden_size="wide"), "hidden_size=wide is not a size"),
    "a size by layer": (config(intermediate_size=[96, 96]), r"intermediate_size=\[96, 96\] is not a size"),
    "an encoder's": (config(architectures=["BertForMaskedLM"]), "holds BertForMaskedLM, which predicts no next token"),
    "multimodal": (config(architectures=["LlavaForConditionalGeneration"], text_config={"hidden_size": 32}),
                   "holds LlavaForConditionalGeneration, which predicts no next token"),
    "encoder and decoder": (config(is_encoder_decoder=True), "which has an encoder"),
    "quantized": (config(quantization_config={"bits": 4}), "with quantized weights"),
    "code of its own": (config(model_type="mine", auto_map={"AutoModelForCausalLM": "m.M"}), "code of its own"),
    "more layers": (config(num_hidden_layers=4),
                    r"config.json says 4 layers, but the checkpoint lacks gpt_neox.layers.2, gpt_neox.layers.3"),
    "fewer layers": (config(num_hidden_layers=1), r"says 1 layers, but the checkpoint also holds gpt_neox.layers.1"),
    "a layer gone": (without("layers.0."), r"says 2 layers, but the checkpoint lacks gpt_neox.layers.0"),
    "no weights": (gone(WEIGHTS), "holds no weights: expected model.safetensors"),
    "weights cut": (cut(WEIGHTS), "model.safetensors is cut or damaged"),
    "weights empty": (text(WEIGHTS, ""), "model.safetensors is cut or damaged"),
    "weights foreign": (text(WEIGHTS, "x" * 5000), "model.safetensors is cut or damaged"),
    "a shard gone": (sharded(gone("model-00002*")), "of which 1 are missing: model-00002"),
    "index cut": (sharded(cut("model.safetensors.index.json")), "index.json is damaged"),
    "index a list": (sharded(text("model.safetensors.index.json", "[]")), "index.json is damaged"),
    "no tokenizer": (gone("tokenizer*"), "no tokenizer in"),
    "tokenizer cut": (cut(TOKENIZER), "tokenizer.json is damaged"),
    "tokenizer empty": (text(TOKENIZER, ""), "tokenizer.json is damaged"),
    "a tokenizer's settings cut": (cut("tokenizer_config.json"), "tokenizer_config.json is not JSON"),
    "special tokens a list": (text("special_tokens_map.json", "[1]"), "special_tokens_map.json holds a list: expected"),
    "generation a list": (text("generation_config.json", "[1]"), "generation_config.json holds a list: expected"),
    "pickle foreign": (bytes_for_weights(b"nothing" * 30), "pytorch_model.bin is damaged, or is no checkpoint of tens"),
    "pickle empty": (bytes_for_weights(b""), "pytorch_model.bin is damaged, or is no checkpoint of tensors alone"),
    "pickle planted": (pickled({"a": Planted()}), "pytorch_model.bin is damaged, or is no checkpoint of tensors alone"),
    "pickle of a list": (pickled([1]), "pytorch_model.bin is no checkpoint: expected tensors by their names"),
    "a pickle's layer gone": (
        lambda folder: [without("layers.0.")(folder), pickled(None)(folder)], "lacks gpt_neox.layers.0"),
    "more words": (more_words, f"has {VOCABULARY + 5} tokens, but the model's embedding {VOCABULARY} rows"),
}  # fmt: skip
"""What is seen before anything is loaded."""

IN_TRANSFORMERS: dict[str, tuple[Alter, str]] = {
    "a prefix": (tensors(lambda held: {f"module.{name}": tensor for name, tensor in held.items()}),
                 r"28 missing \(.+ and 25 more\); 28 unexpected \(module"),
    "a tensor gone": (without("layers.1.mlp.dense_4h_to_h.weight"),
                      r"1 missing \(gpt_neox.layers.1.mlp.dense_4h_to_h.weight\)"),
    "no unembedding": (without("embed_out"), r"1 missing \("),
    "one too many": (tensors(lambda held: held | {"extra.weight": torch.ones(3)}), r"1 unexpected \(extra.weight\)"),
    "another shape": (config(intermediate_size=64), r"of another shape \(gpt_neox.layers"),
    "an unknown type": (config(model_type="mine", architectures=None), "cannot be loaded from .+ model type `mine`"),
    "heads that do not divide": (config(num_attention_heads=3), "hidden size is not divisible by the number of att"),
    "a null": (nulled("max_position_embeddings"), "'max_position_embeddings' expected int, got NoneType"),
    "no such function": (config(hidden_act="foo"), "config.json's hidden_act=foo is unknown to transformers"),
    "no such type": (config(dtype="foo"), "config.json's dtype=foo is unknown to transformers"),
    "no such scaling": (config(rope_parameters={"rope_type": "foo"}), "config.json's rope_type=foo is unknown"),
    "no BOS nor EOS": (text("tokenizer_config.json", '{"tokenizer_class": "PreTrainedTokenizerFast"}'),
                       "has neither BOS nor EOS"),
    "BOS a number": (text("tokenizer_config.json", '{"bos_token": 5}'), "no tokenizer in .+: Special token bos_token"),
}  # fmt: skip
"""What transformers shows, and not the files alone; no weights are read."""


def altered(right: Path, folder: Path, alter: Alter) -> ModelConfig:
    shutil.copytree(right, folder)
    alter(folder)
    return ModelConfig(name="altered", path=str(folder), context=CONTEXT, layer=0)


def refused(words: str, call: Callable[[], Any]) -> None:
    with pytest.raises(UserError, match=words) as raised:
        call()
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def test_altered_folders_are_refused_before_anything_is_loaded(right: Path, tmp_path: Path):
    check_model(ModelConfig(name="right", path=str(right), context=CONTEXT, layer=0))
    for number, (alter, words) in enumerate(BEFORE.values()):
        model = altered(right, tmp_path / str(number), alter)
        refused(words, lambda model=model: check_model(model))


def test_other_checkpoints_are_refused_before_their_weights_are_read(
    right: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    check_tensors(ModelConfig(name="right", path=str(right), context=CONTEXT, layer=0))
    for number, (alter, words) in enumerate(IN_TRANSFORMERS.values()):
        model = altered(right, tmp_path / str(number), alter)
        check_model(model)
        refused(words, lambda model=model: check_tensors(model))
    assert capfd.readouterr() == ("", "")


def test_what_only_loading_shows_is_one_line(right: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    nan = tensors(lambda held: {name: tensor * torch.nan for name, tensor in held.items()})
    for name, alter, words in (("nan", nan, "not finite"), ("gone", without("embed_out"), r"1 missing \(lm_head")):
        model = altered(right, tmp_path / name, alter)
        refused(words, lambda model=model: load_language_model(model, torch.device("cpu")))
    assert "Loading weights" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_refused_before_a_sweep_is_declared(right: Path, tmp_path: Path):
    model = altered(right, tmp_path / "altered", without("embed_out"))
    told = subprocess.run(
        [sys.executable, ROOT / "pipeline" / "run.py", "model=local", f"model.path={model.path}", "model.layer=0",
         f"model.context={CONTEXT}", f"execution.sweeps_dir={tmp_path / 'sweeps'}"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert told.returncode == 2 and told.stderr.count("\n") == 1 and "1 missing (lm_head" in told.stderr
    assert not told.stdout and not (tmp_path / "sweeps").exists()


def test_pickled_weights_are_read_as_tensors_and_nothing_is_executed(right: Path, tmp_path: Path):
    model = altered(right, tmp_path / "pickled", pickled(None))
    loaded = load_language_model(model, torch.device("cpu"))
    same = load_language_model(altered(right, tmp_path / "same", lambda folder: None), torch.device("cpu"))
    tokens = torch.arange(CONTEXT)[None]
    hook = "blocks.1.hook_resid_post"
    assert torch.equal(loaded.activations(tokens, [hook])[hook], same.activations(tokens, [hook])[hook])


def test_masks_and_frequencies_of_older_checkpoints_are_no_weights(right: Path, tmp_path: Path):
    old = {
        "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 32, 32, dtype=torch.bool),
        "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
        "gpt_neox.layers.1.attention.rotary_emb.inv_freq": torch.ones(4),
    }
    load_language_model(altered(right, tmp_path / "old", tensors(lambda held: held | old)), torch.device("cpu"))


def test_special_tokens_beyond_the_embedding_are_refused_where_a_text_holds_them(right: Path, tmp_path: Path):
    def alter(folder: Path) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
        tokenizer.save_pretrained(folder)

    model = altered(right, tmp_path / "image", alter)
    check_model(model)
    packer = Packer(model, "document")
    assert len(packer.pack(["w3 " * 30])) == 2
    refused("the text holds <image>, token 64, but the embedding has 64 rows",
            lambda: packer.pack(["w3 <image> " * 15]))  # fmt: skip


# ------------------------------------------------------------------------------------------------ shapes and positions


def test_settings_of_the_language_part_are_read(right: Path):
    settings = read_model_config(right)
    assert shape_of_config({"model_type": "llava", "text_config": settings}) == shape_of_config(settings)


@pytest.mark.parametrize(
    ("changes", "positions"),
    [
        ({}, 32), ({"max_position_embeddings": None, "n_positions": 48}, 48), ({"alibi": True}, None),
        ({"max_position_embeddings": None, "max_seq_len": 40}, 40), ({"model_type": "bloom"}, None),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 128),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 32),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}}, 64),
        ({"rope_parameters": {"full_attention": {"rope_type": "dynamic", "factor": 2.0}}}, 64),
        ({"max_position_embeddings": None}, None),
    ],
)  # fmt: skip
def test_positions_are_read_by_every_name_they_have(right: Path, changes: dict[str, Any], positions: int | None):
    settings = {name: value for name, value in (read_model_config(right) | changes).items() if value is not None}
    assert shape_of_config(settings).positions == positions
