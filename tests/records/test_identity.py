"""What names a model: every file that it could be read from, and nothing else; and what names a run, which is computed
once.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.composed import compose
from pipeline.bundled import card
from pipeline.config.schema import ModelConfig, RunConfig, plain, settings
from pipeline.records import identity
from pipeline.records.identity import evaluation_identity, model_identity, pack_identity, run_name
from tests.families import VOCABULARY, save_tokenizer

NAMES = ("bundled-mlp_out-L2-gated-lam1-seed0-996a83378885", "cf39bb1ee764", "dedd9ef5a8bb")
"""Of a run with lists among its settings: its folder, its evaluation, its pack."""


def identity_of(folder: Path) -> str:
    return model_identity(ModelConfig(name="m", path=str(folder), context=16, layer=0))


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "pytorch_model.bin", "a.pt", "a.pth", "a.ckpt", "tf_model.h5", "flax_model.msgpack", "a.gguf",
     "model-00001-of-00002.safetensors", "pytorch_model.bin.index.json", "config.json", "tokenizer.model",
     "chat_template.jinja", "vocab.json", "merges.txt", "qwen.tiktoken", "part/model.safetensors"],
)  # fmt: skip
def test_every_file_that_can_be_read_counts(name: str, tmp_path: Path):
    digests = set[str]()
    for content in (None, "one", "two"):
        folder = tmp_path / str(content)
        (folder / "part").mkdir(parents=True)
        if content:
            (folder / name).write_text(content)
        digests.add(identity_of(folder))
    assert len(digests) == 3


def test_words_pictures_and_hidden_files_do_not_count(tmp_path: Path):
    for name in ("same", "more"):
        (tmp_path / name / ".cache").mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_text("weights")
    for name in (
        "README.md",
        "LICENSE",
        "LICENSE.txt",
        "loss.png",
        ".gitattributes",
        ".cache/model.safetensors",
        "modeling.py",
    ):
        (tmp_path / "more" / name).write_text("other")
    (tmp_path / "more" / "gone.bin").symlink_to(tmp_path / "nowhere")
    assert identity_of(tmp_path / "same") == identity_of(tmp_path / "more")


def test_the_bundled_model_is_named_as_it_was():
    bundled = ModelConfig(name="bundled", path=str(Path(card.__file__).parent / "model"), context=256, layer=2)
    assert model_identity(bundled) == "bundled@2a94659a30ff"


def test_a_tokenizers_folder_is_named_by_what_it_holds(tmp_path: Path):
    names, empty = set[str](), tmp_path / "empty"
    empty.mkdir()
    for words in (VOCABULARY, VOCABULARY - 1):
        for copy in ("one", "other"):
            folder = save_tokenizer(tmp_path / f"{copy}{words}", words)
            model = ModelConfig(name="m", path=str(empty), context=16, layer=0, tokenizer_id=str(folder))
            names.add(model_identity(model))
    assert len(names) == 2 and not any(str(tmp_path) in name for name in names)


@pytest.fixture(scope="module")
def run() -> RunConfig:
    words = ["architecture=gated", "site=mlp_out", "train.resample.steps=[300,900]", "eval.prune_below=[0.1,0.5]"]
    return compose(words)


def test_a_run_can_be_hashed_and_is_written_with_lists(run: RunConfig):
    assert len({run, run}) == 1 and run.train.resample.steps == (300, 900)
    for content in (plain(run), settings(run)):
        assert content["train"]["resample"]["steps"] == [300, 900] and content["eval"]["prune_below"] == [0.1, 0.5]
        assert json.loads(json.dumps(content)) == content, "as JSON gives it back"


def test_names_are_what_they_were(run: RunConfig):
    """Of settings with lists, which became tuples in the configuration and not on disk."""
    assert (run_name(run), evaluation_identity(run), pack_identity(run)) == NAMES


def test_a_runs_name_is_computed_once(run: RunConfig, monkeypatch: pytest.MonkeyPatch):
    before = run_name(run)
    monkeypatch.setattr(identity, "run_identity", None)
    assert run_name(compose_again(run)) == before


def compose_again(run: RunConfig) -> RunConfig:
    """An equal run that is another object."""
    return replace(run, model=replace(run.model), eval=replace(run.eval))
