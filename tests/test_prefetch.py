"""What is fetched from the hub, with a hub that a test plays; and that runs read from it what they would have read."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import huggingface_hub
import pytest
import torch

from pipeline.config.schema import DataConfig, ModelConfig
from pipeline.errors import UserError
from pipeline.launching import fetch
from pipeline.tokens import hub_cache
from pipeline.tokens.sources import evaluation_contexts, training_contexts
from tests.factories import run_config

ROOT = Path(__file__).resolve().parent.parent
ROWS = [{"body": f"document {i} of many, {'word ' * (i % 37)}", "url": str(i)} for i in range(300)]
DATA = DataConfig(
    name="hub", source="hub", dataset="some/text", revision="abc", text_column="body", packing="concatenate",
    evaluation_documents=20,
)  # fmt: skip


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A dataset of ROWS and repositories whose snapshot is what a test puts there; its cache is temporary."""
    asked: list[tuple[str, list[str]]] = []
    load = datasets.load_dataset

    def load_dataset(path: str, *arguments: object, **settings: object):
        if path == "parquet":
            return load(path, *arguments, **settings)
        asked.append((path, []))
        return datasets.Dataset.from_list(ROWS).to_iterable_dataset()

    def snapshot_download(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        return str(tmp_path / "snapshot")

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    (tmp_path / "snapshot").mkdir()
    return asked


@pytest.fixture
def model(tiny_model) -> ModelConfig:
    return ModelConfig(name="tiny", path=str(tiny_model), context=16, layer=0)


def test_runs_read_what_the_hub_would_have_given(hub, model):
    from_hub = training_contexts(model, DATA, 0).read(0, 60)
    held_out = evaluation_contexts(model, DATA, 8)
    assert "300 documents" in fetch.fetch_text(DATA, 1e9) and len(hub_cache.files(DATA)) == 1
    hub.clear()
    assert torch.equal(training_contexts(model, DATA, 0).read(0, 60).tokens, from_hub.tokens)
    assert torch.equal(evaluation_contexts(model, DATA, 8).tokens, held_out.tokens)
    assert "all there are" in fetch.fetch_text(DATA, 1e12)
    assert hub == []


def test_a_run_that_was_begun_on_the_hub_goes_on_with_the_same_contexts(hub, model):
    begun = training_contexts(model, DATA, 0)
    begun.read(0, 30)
    position = begun.position()
    rest = begun.read(30, 20)
    fetch.fetch_text(DATA, 1e9)
    resumed = training_contexts(model, DATA, 0)
    resumed.restore(position)
    assert torch.equal(resumed.read(30, 20).tokens, rest.tokens)


def test_validation_text_is_read_from_what_was_fetched(hub, model):
    data = replace(DATA, validation_fraction=0.4)
    from_hub = [evaluation_contexts(model, data, 4, split).tokens for split in ("validation", "test")]
    assert not torch.equal(*from_hub)
    fetch.fetch_text(data, 1e9)
    hub.clear()
    fetched = [evaluation_contexts(model, data, 4, split).tokens for split in ("validation", "test")]
    assert all(torch.equal(one, other) for one, other in zip(fetched, from_hub, strict=True)) and hub == []


def test_rows_without_text_stay_rows(hub, model, monkeypatch):
    monkeypatch.setattr(hub_cache, "DOCUMENTS_PER_FILE", 10)
    empty = [*range(10, 20), 25]  # all of a file, and one
    monkeypatch.setitem(globals(), "ROWS", [row | {"body": None} if i in empty else row for i, row in enumerate(ROWS)])
    from_hub, held_out = training_contexts(model, DATA, 0).read(0, 60), evaluation_contexts(model, DATA, 8)
    fetch.fetch_text(DATA, 1e9)
    there = training_contexts(model, DATA, 0)
    assert torch.equal(there.read(0, 60).tokens, from_hub.tokens) and there.position()["skipped"] == 1
    assert torch.equal(evaluation_contexts(model, DATA, 8).tokens, held_out.tokens)


def test_only_as_much_as_is_wanted_and_more_when_more_is(hub, monkeypatch):
    monkeypatch.setattr(hub_cache, "DOCUMENTS_PER_FILE", 10)
    fetch.fetch_text(DATA, 4000)
    about = hub_cache.about(DATA)
    assert about is not None and 4000 <= about["characters"] < 4300 and not about["whole"]
    assert len(hub_cache.files(DATA)) == -(-about["documents"] // 10)
    hub.clear()
    fetch.fetch_text(DATA, 3000)
    assert hub == []
    fetch.fetch_text(DATA, 8000)
    more = hub_cache.about(DATA)
    assert hub and more is not None and more["characters"] >= 8000
    assert [path.name for path in hub_cache.folder(DATA).parent.iterdir()] == [hub_cache.folder(DATA).name]


def test_models_are_fetched_with_the_weights_they_have(hub, tmp_path):
    gpt2 = ModelConfig(name="gpt2", hub_id="some/gpt2", revision="r", context=16, layer=0)
    list(fetch.fetch_model(gpt2))
    assert ["*.safetensors" in patterns for _, patterns in hub] == [True, False] and "*.bin" in hub[1][1]
    hub.clear()
    (tmp_path / "snapshot" / "model.safetensors").write_text("")
    list(fetch.fetch_model(gpt2))
    assert len(hub) == 1
    hub.clear()
    legacy = ModelConfig(name="old", hub_id="some/old", tokenizer_id="some/tokens", legacy=True, context=16, layer=0)
    said = list(fetch.fetch_model(legacy))
    assert [repository for repository, _ in hub] == ["some/tokens", "some/old"] and "nodes must reach" in said[-1]


def test_a_hub_that_is_away_is_one_line_and_leaves_nothing(hub, monkeypatch):
    def away(*arguments: object, **settings: object) -> str:
        raise ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", away)
    monkeypatch.setattr(datasets, "load_dataset", away)
    gpt2 = ModelConfig(name="gpt2", hub_id="some/gpt2", revision="r", context=16, layer=0)
    for call in (lambda: list(fetch.fetch_model(gpt2)), lambda: fetch.fetch_text(DATA, 100)):
        with pytest.raises(UserError, match=r"cannot be fetched from the hub: Name or service not known$"):
            call()
    assert hub_cache.about(DATA) is None and not list(hub_cache.folder(DATA).parent.glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["-m", "sweep=smoke"], ["sweep=smoke", "hydra/launcher=slurm"], ["-m", "seed=0,1"]]
)
def test_the_command_takes_what_run_takes(arguments):
    command = [sys.executable, "pipeline/prefetch.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "model bundled: local, nothing to fetch\ndata sotu: local, nothing to fetch\n"


@pytest.mark.slow
def test_mistakes_are_one_line_each(tmp_path):
    cases = {
        ("sweep=smok",): "did you mean smoke?",
        ("seed=1,2",): "a grid needs -m: python pipeline/prefetch.py -m seed=1,2",
        ("model=local", f"model.path={tmp_path}/no"): f"{tmp_path}/no",
    }  # fmt: skip
    for arguments, said in cases.items():
        command = [sys.executable, "pipeline/prefetch.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2 and said in done.stderr, (arguments, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_local_models_and_texts_are_held_to_what_runs_need(hub, model, tmp_path):
    (tmp_path / "one.txt").write_text("one document")
    text = DataConfig(name="files", source="files", path=str(tmp_path / "one.txt"))
    run = run_config(model=model, site="mlp_out", architecture="baseline", data=text)
    for wrong, said in (
        (replace(run, model=replace(model, path=str(tmp_path / "no"))), "no"),
        (replace(run, layer=99), "99"),
        (replace(run, data=replace(text, path=str(tmp_path / "none.txt"))), "does not exist"),
        (run, "holds one document"),
    ):
        with pytest.raises(UserError, match=said):
            list(fetch.fetch([wrong]))
    assert hub == []
