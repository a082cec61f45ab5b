"""Text in, contexts out: packing, special tokens, what is held out, and the order in which training reads."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.config.schema import DataConfig, ModelConfig
from pipeline.errors import UserError
from pipeline.tokens import sources, text
from pipeline.tokens.contexts import Contexts, Packer
from pipeline.tokens.prefetch import PrefetchedContexts
from pipeline.tokens.sources import ContextsInMemory, ContextsStreamed, evaluation_contexts, training_contexts

BOS, EOS, WORDS = 0, 1, 200
"""Ids of the tokenizer below: BOS is 0, as in NeoX; the word "w7" is token 7."""


def save_tokenizer(folder: Path, **special: str) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<bos>": BOS, "<eos>": EOS, "<unk>": 2} | {f"w{i}": i for i in range(3, WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **special).save_pretrained(folder)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder, bos_token="<bos>", eos_token="<eos>")
    return ModelConfig(name="words", path=str(folder), context=5, layer=0)


def words(*ids: int) -> str:
    return " ".join(f"w{i}" for i in ids)


def packed(model: ModelConfig, packing: str, *documents: str | list[int], separator: str = "bos") -> Contexts:
    packer = Packer(model, packing, separator)
    return packer.pack(documents)


# ------------------------------------------------------------------------------------------------------------- packing


def test_documents_fill_contexts_of_their_own_and_leave_their_tails(model: ModelConfig):
    contexts = packed(model, "document", words(*range(3, 13)), words(20, 21, 22), words(30, 31, 32, 33))
    assert contexts.tokens.tolist() == [[BOS, 3, 4, 5, 6], [BOS, 7, 8, 9, 10], [BOS, 30, 31, 32, 33]]
    assert contexts.document.tolist() == [0, 0, 2]
    assert contexts.special.tolist() == [[True, False, False, False, False]] * 3


@pytest.mark.parametrize(("separator", "token"), [("bos", BOS), ("eos", EOS)])
def test_joined_documents_follow_one_another_with_a_separator_between(model: ModelConfig, separator: str, token: int):
    documents = (words(3, 4), words(5, 6, 7), words(8, 9, 10, 11, 12, 13))
    contexts = packed(model, "concatenate", *documents, separator=separator)
    assert contexts.tokens.tolist() == [[BOS, 3, 4, token, 5], [BOS, 6, 7, token, 8], [BOS, 9, 10, 11, 12]]
    assert contexts.document.tolist() == [0, 1, 2]  # the document that each begins in
    assert contexts.special.nonzero().tolist() == [[0, 0], [0, 3], [1, 0], [1, 3], [2, 0]]


def test_documents_may_be_joined_without_a_separator(model: ModelConfig):
    contexts = packed(model, "concatenate", words(3, 4), words(5, 6, 7), words(8, 9, 10), separator="none")
    assert contexts.tokens.tolist() == [[BOS, 3, 4, 5, 6], [BOS, 7, 8, 9, 10]]


def test_no_context_begins_with_bos_and_a_separator(model: ModelConfig):
    contexts = packed(model, "concatenate", words(3, 4, 5, 6), words(7, 8, 9, 10))
    assert contexts.tokens.tolist() == [[BOS, 3, 4, 5, 6], [BOS, 7, 8, 9, 10]]


def test_a_context_that_begins_in_the_middle_of_several_documents_names_the_first(model: ModelConfig):
    contexts = packed(model, "concatenate", words(3, 4, 5, 6, 7), words(8), words(9, 10, 11), separator="eos")
    assert contexts.tokens.tolist() == [[BOS, 3, 4, 5, 6], [BOS, 7, EOS, 8, EOS], [BOS, 9, 10, 11, EOS]]
    assert contexts.document.tolist() == [0, 0, 2]


def test_joining_loses_no_token_but_the_last_tail(model: ModelConfig):
    lengths = torch.randint(0, 30, (40,), generator=torch.Generator().manual_seed(0)).tolist()
    documents = [list(range(3, 3 + n)) for n in lengths]
    contexts = packed(model, "concatenate", *(words(*ids) for ids in documents))
    body = [token for token in contexts.tokens.flatten().tolist() if token != BOS]
    joined = [token for ids in documents for token in ids]
    assert body == joined[: len(body)] and len(joined) - len(body) < model.context - 1


def test_documents_of_token_ids_are_used_as_they_are_without_their_ends(model: ModelConfig):
    contexts = packed(model, "concatenate", [BOS, 3, 4, EOS], [5, 6, 7], [8, 9])
    assert contexts.tokens.tolist() == [[BOS, 3, 4, BOS, 5], [BOS, 6, 7, BOS, 8]]


@pytest.mark.parametrize("wrong", [WORDS, -1, 2**40])
def test_token_ids_of_another_tokenizer_are_refused(model: ModelConfig, wrong: int):
    with pytest.raises(UserError, match=f"holds the token id {wrong}, expected .* of model words: 0 to {WORDS - 1}"):
        packed(model, "document", [3, wrong, 4])


def test_bos_is_eos_where_the_tokenizer_has_no_other(model: ModelConfig, tmp_path: Path):
    save_tokenizer(tmp_path, eos_token="<eos>")
    contexts = packed(replace(model, path=str(tmp_path)), "document", words(3, 4, 5, 6))
    assert contexts.tokens.tolist() == [[EOS, 3, 4, 5, 6]] and contexts.special[0].tolist() == [True] + [False] * 4


def test_a_tokenizer_without_bos_and_eos_is_refused(model: ModelConfig, tmp_path: Path):
    save_tokenizer(tmp_path)
    with pytest.raises(UserError, match="the tokenizer of model words has neither BOS nor EOS"):
        Packer(replace(model, path=str(tmp_path)), "document")


def test_a_missing_tokenizer_is_one_line(model: ModelConfig, tmp_path: Path):
    with pytest.raises(UserError, match="no tokenizer in ") as raised:
        Packer(replace(model, path=str(tmp_path)), "document")
    assert "\n" not in str(raised.value)


def test_special_tokens_inside_a_text_are_special(model: ModelConfig):
    contexts = packed(model, "document", "w3 <eos> w4 <unk>")
    assert contexts.tokens.tolist() == [[BOS, 3, EOS, 4, 2]]
    assert contexts.special.tolist() == [[True, False, True, False, True]]


# ------------------------------------------------------------------------------------------------- documents held out


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for i in range(60):
        (tmp_path / f"{i:02d}.txt").write_text(words(*(3 + (i * 7 + j) % 190 for j in range(40))))
    return tmp_path


def files(path: Path, **settings: object) -> DataConfig:
    return DataConfig(name="files", source="files", path=str(path), **settings)


def test_every_document_is_either_held_out_or_trained_on(corpus: Path):
    data = files(corpus, evaluation_fraction=0.3)
    train, held = list(text.documents(data, "train")), list(text.documents(data, "test"))
    assert len(train) + len(held) == 60 and not set(train) & set(held)
    assert 5 <= len(held) <= 30


def test_copies_of_a_document_stay_on_one_side(corpus: Path):
    data = files(corpus, evaluation_fraction=0.5)
    before = set(text.documents(data, "test"))
    for path in list(corpus.iterdir()):
        (corpus / f"a_copy_of_{path.name}").write_text(path.read_text())
    after = list(text.documents(data, "test"))
    assert set(after) == before and len(after) == 2 * len(before)
    assert not before & set(text.documents(data, "train"))


def test_parquet_rows_are_documents_like_files(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path_factory.mktemp("parquet")
    texts = [path.read_text() for path in sorted(corpus.iterdir())]
    table = pyarrow.table({"body": [*texts, None, ""], "other": list(range(62))})
    pyarrow.parquet.write_table(table, folder / "rows.parquet", row_group_size=7)
    data = files(folder, text_column="body", evaluation_fraction=0.3)
    for split in ("train", "test"):
        assert list(text.documents(data, split)) == list(text.documents(files(corpus, evaluation_fraction=0.3), split))
    with pytest.raises(UserError, match=r"rows.parquet has no column text: it has body, other;"):
        list(text.documents(files(folder), "train"))


def test_files_are_found_in_a_folder_a_glob_or_by_name(corpus: Path):
    (corpus / "deeper").mkdir()
    (corpus / "deeper" / "more.md").write_text("w3")
    (corpus / "ignored.pdf").write_text("{}")
    assert len(text.local_files(files(corpus))) == 61
    assert len(text.local_files(files(corpus / "0*.txt"))) == 10
    assert [file.path for file in text.local_files(files(corpus / "07.txt"))] == [corpus / "07.txt"]
    with pytest.raises(UserError, match="does not exist: expected a file, a folder or a glob"):
        text.local_files(files(corpus / "nothing"))


def test_the_text_is_named_by_its_contents_not_its_place(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "corpus"
    elsewhere.mkdir()
    for path in corpus.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    assert text.identity(files(corpus)) == text.identity(files(elsewhere))
    (elsewhere / "07.txt").write_text("changed")
    assert text.identity(files(corpus)) != text.identity(files(elsewhere))


# ------------------------------------------------------------------------------------------------------ validation text


def side(data: DataConfig, split: text.Split) -> list[str]:
    return sorted(map(str, text.documents(data, split)))


def test_validation_text_is_a_share_of_the_held_out_documents_and_the_rest_stays_where_it_was(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(4000)))
    before = files(tmp_path, evaluation_fraction=0.2)
    assert side(before, "validation") == []
    for share in (0.25, 0.5, 0.9):
        data = replace(before, validation_fraction=share)
        assert side(data, "train") == side(before, "train")
        assert sorted(side(data, "validation") + side(data, "test")) == side(before, "test")
        held = len(side(before, "test"))
        assert len(side(data, "validation")) == pytest.approx(share * held, abs=4 * (share * (1 - share) * held) ** 0.5)
        wider = replace(data, evaluation_fraction=0.4)
        assert set(side(data, "validation")) <= set(side(wider, "validation")), "more held out: none of it is tested on"


def test_copies_of_a_validation_document_are_no_test_text(corpus: Path):
    data = files(corpus, evaluation_fraction=0.6, validation_fraction=0.5)
    before = set(side(data, "validation"))
    for path in list(corpus.iterdir()):
        (corpus / f"a_copy_of_{path.name}").write_text(path.read_text())
    after = side(data, "validation")
    assert set(after) == before and len(after) == 2 * len(before) and not before & set(side(data, "test"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 0.5, 0.9, 1 - 1e-9])
def test_validation_documents_of_a_stream_are_spread_over_the_held_out_ones(share: float):
    sides = [text.side_of_number(number, hub(validation_fraction=share)) for number in range(1000)]
    for end in range(0, 1001, 50):
        assert abs(sides[:end].count("validation") - share * end) <= 1


def test_validation_text_of_a_stream_is_never_trained_on(
    model: ModelConfig, rows: list[dict[str, object]], offline: list[dict[str, object]]
):
    bodies, data = [str(row["body"]) for row in rows], hub(packing="document", validation_fraction=0.4)
    validation, test = ([bodies[i] for i in range(15) if (i % 5 in {2, 4}) == chosen] for chosen in (True, False))
    assert list(text.held_out_of_stream(data, "validation")) == validation
    assert list(text.held_out_of_stream(data, "test")) == test
    whole = list(text.held_out_of_stream(replace(data, validation_fraction=0.0), "test"))
    assert whole == bodies[:15] and same(
        training_contexts(model, data, 0).read(0, 20), streamed(model, "document").read(0, 20)
    )
    for split, documents in (("validation", validation), ("test", test)):
        expected = packed(model, "document", *documents)
        found = evaluation_contexts(model, data, len(expected), split)
        assert sorted(map(tuple, found.tokens.tolist())) == sorted(map(tuple, expected.tokens.tolist()))


def test_validation_contexts_come_from_validation_documents(model: ModelConfig, corpus: Path):
    data = files(corpus, evaluation_fraction=0.6, validation_fraction=0.5)
    found = {}
    for split in ("train", "validation", "test"):
        starts = {int(document.split()[0][1:]) for document in text.documents(data, split)}
        contexts = (
            training_contexts(model, data, 0).read(0, 200)
            if split == "train"
            else evaluation_contexts(model, data, 20, split)
        )
        found[split] = {int(row[1]) for row in contexts.tokens}
        assert found[split] <= {3 + (start - 3 + j) % 190 for start in starts for j in range(40)}
    assert not torch.equal(*(evaluation_contexts(model, data, 20, split).tokens for split in ("validation", "test")))


# ------------------------------------------------------------------------------------------------------ held in memory


def numbered(n: int) -> Contexts:
    tokens = torch.arange(n).unsqueeze(1).expand(n, 3)
    return Contexts(tokens, torch.zeros(n, 3, dtype=torch.bool), torch.arange(n))


def numbers(contexts: Contexts) -> list[int]:
    assert torch.equal(contexts.tokens[:, 0], contexts.document)
    return contexts.document.tolist()


def test_a_number_is_always_the_same_context():
    source = ContextsInMemory(numbered(10), seed=3)
    in_order = numbers(source.read(0, 35))
    assert [numbers(source.read(i, 1))[0] for i in reversed(range(35))] == in_order[::-1]
    assert numbers(source.read(7, 20)) == in_order[7:27]  # over two ends of an epoch
    assert numbers(ContextsInMemory(numbered(10), seed=3).read(0, 35)) == in_order


def test_every_epoch_is_another_permutation_of_everything():
    source = ContextsInMemory(numbered(50), seed=3)
    epochs = [numbers(source.read(50 * i, 50)) for i in range(4)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_seeds_give_different_orders():
    orders = [numbers(ContextsInMemory(numbered(50), seed).read(0, 50)) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 3


def test_local_files_are_read_in_the_order_of_the_seed(model: ModelConfig, corpus: Path):
    first, again, other = (training_contexts(model, files(corpus), seed).read(0, 200) for seed in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens) and not torch.equal(first.tokens, other.tokens)


# ------------------------------------------------------------------------------------------------------------ streamed


@pytest.fixture
def rows() -> list[dict[str, object]]:
    lengths = torch.randint(1, 14, (80,), generator=torch.Generator().manual_seed(2)).tolist()
    return [{"body": words(*(3 + (11 * i + j) % 190 for j in range(n))), "url": str(i)} for i, n in enumerate(lengths)]


def hub(**settings: object) -> DataConfig:
    defaults = {"dataset": "somebody/something", "revision": "abc", "text_column": "body", "evaluation_documents": 15}
    return DataConfig(name="hub", source="hub", **(defaults | settings))


@pytest.fixture
def offline(rows: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """`load_dataset` answers with the rows, as a stream; what it was asked for is kept."""
    import datasets

    asked: list[dict[str, object]] = []

    def load(dataset: str, subset: str | None, **settings: object):
        asked.append({"dataset": dataset, "subset": subset, **settings})
        return datasets.Dataset.from_list(rows).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def streamed(model: ModelConfig, packing: str = "concatenate") -> ContextsStreamed:
    source = training_contexts(model, hub(packing=packing), seed=0)
    assert isinstance(source, ContextsStreamed)
    return source


def same(one: Contexts, other: Contexts) -> bool:
    return torch.equal(one.tokens, other.tokens) and torch.equal(one.document, other.document)


def test_a_stream_is_asked_for_at_its_revision(model: ModelConfig, offline: list[dict[str, object]]):
    streamed(model)
    assert offline == [
        {"dataset": "somebody/something", "subset": None, "split": "train", "revision": "abc", "streaming": True}
    ]


def test_a_stream_trains_on_what_comes_after_the_held_out_documents(
    model: ModelConfig, rows: list[dict[str, object]], offline: list[dict[str, object]]
):
    bodies = [str(row["body"]) for row in rows]
    for packing in ("document", "concatenate"):
        expected = packed(model, packing, *bodies[15:])
        assert same(streamed(model, packing).read(0, len(expected)), expected)
        held_out = packed(model, packing, *bodies[:15])
        found = evaluation_contexts(model, hub(packing=packing), len(held_out))
        assert sorted(map(tuple, found.tokens.tolist())) == sorted(map(tuple, held_out.tokens.tolist()))


@pytest.mark.parametrize("packing", ["document", "concatenate"])
def test_a_stream_restored_goes_on_as_if_never_stopped(
    model: ModelConfig, offline: list[dict[str, object]], packing: str
):
    total = 60
    uninterrupted = streamed(model, packing).read(0, total)
    assert len(uninterrupted) == total
    for stop in range(0, total - 10, 3):
        source = streamed(model, packing)
        if stop:
            source.read(0, stop)
        kept = json.loads(json.dumps(source.position()))  # a checkpoint is a JSON file
        assert kept["number"] <= stop
        resumed = streamed(model, packing)
        for first in (kept["number"], stop):  # a run that is behind in its pack reads the former
            resumed.restore(kept)
            assert same(resumed.read(first, 4), uninterrupted[slice(first, first + 4)])
            assert same(resumed.read(first + 4, 6), uninterrupted[slice(first + 4, first + 10)])


def test_a_stream_can_be_read_backwards_and_twice(model: ModelConfig, offline: list[dict[str, object]]):
    source = streamed(model)
    uninterrupted = streamed(model).read(0, 60)
    for first, count in ((40, 5), (45, 5), (44, 3), (0, 60), (10, 1), (11, 1), (9, 2)):
        assert same(source.read(first, count), uninterrupted[slice(first, first + count)])


def test_a_position_does_not_change_under_its_owner(model: ModelConfig, offline: list[dict[str, object]]):
    source = streamed(model)
    source.read(0, 10)
    position = source.position()
    written = json.dumps(position)
    source.read(10, 30)
    assert json.dumps(position) == written


def test_rows_without_text_are_skipped_in_a_stream(
    model: ModelConfig, rows: list[dict[str, object]], offline: list[dict[str, object]]
):
    bodies = [str(row["body"]) for row in rows]
    for i in (3, 20, 21, 40):
        rows[i]["body"] = None
    rows[50]["body"] = " "
    kept = [words() if i in (3, 20, 21, 40, 50) else body for i, body in enumerate(bodies)]
    expected = packed(model, "document", *kept[15:])
    source = streamed(model, "document")
    assert same(source.read(0, len(expected)), expected) and source.position()["skipped"] == 4
    held_out = packed(model, "document", *kept[:15])
    assert len(evaluation_contexts(model, hub(packing="document"), len(held_out))) == len(held_out)


def test_a_stream_of_other_columns_is_one_line(model: ModelConfig, offline: list[dict[str, object]]):
    with pytest.raises(UserError, match=r"data\.text_column=text is not in somebody/something: it has body, url"):
        training_contexts(model, hub(text_column="text"), seed=0)
    with pytest.raises(UserError, match=r"data=hub: data\.token_column=url holds text, expected lists of token ids"):
        training_contexts(model, hub(token_column="url"), seed=0).read(0, 1)


def test_the_end_of_a_stream_is_one_line(model: ModelConfig, offline: list[dict[str, object]]):
    everything = sum(1 for _ in iterate(streamed(model)))
    with pytest.raises(
        UserError, match=f"the dataset ended at context {everything}: expected fewer steps, or more text"
    ):
        streamed(model).read(0, everything + 1)


@pytest.mark.parametrize("packing", ["document", "concatenate"])
def test_what_is_read_ahead_is_what_would_have_been_read(
    model: ModelConfig, offline: list[dict[str, object]], packing: str
):
    uninterrupted = streamed(model, packing).read(0, 60)
    with PrefetchedContexts(streamed(model, packing)) as source:
        for first, count, ahead in ((0, 7, 7), (7, 7, 14), (14, 7, 30), (21, 7, 0), (28, 7, 35), (35, 3, 38)):
            assert same(source.read(first, count), uninterrupted[slice(first, first + count)])
            source.prefetch(ahead, 7)  # the next, or something else
            kept = source.position()
            assert kept["number"] <= first + count
            resumed = streamed(model, packing)
            resumed.restore(kept)
            assert same(resumed.read(first + count, 9), uninterrupted[slice(first + count, first + count + 9)])


def test_reading_ahead_goes_on_beside_other_work(model: ModelConfig, offline: list[dict[str, object]]):
    began, may_go_on = threading.Event(), threading.Event()

    class Slow(ContextsStreamed):
        def read(self, first: int, count: int) -> Contexts:
            began.set()
            assert may_go_on.wait(30)
            return super().read(first, count)

    inner = streamed(model)
    inner.__class__ = Slow
    with PrefetchedContexts(inner) as source:
        source.prefetch(0, 5)
        assert began.wait(30)
        may_go_on.set()
        assert same(source.read(0, 5), streamed(model).read(0, 5))


def test_the_end_of_a_stream_is_an_error_only_for_one_who_reads_it(
    model: ModelConfig, offline: list[dict[str, object]]
):
    everything = sum(1 for _ in iterate(streamed(model)))
    with PrefetchedContexts(streamed(model)) as source:
        source.prefetch(everything, 1)
        assert len(source.read(everything - 1, 1)) == 1
        source.prefetch(everything, 1)
        with pytest.raises(UserError, match=f"the dataset ended at context {everything}"):
            source.read(everything, 1)


def iterate(source: ContextsStreamed) -> Iterator[Contexts]:
    number = 0
    while True:
        try:
            yield source.read(number, 1)
        except UserError:
            return
        number += 1


# ---------------------------------------------------------------------------------------------------------- evaluation


def test_held_out_contexts_are_the_same_every_time_and_more_of_them_begin_alike(model: ModelConfig, corpus: Path):
    data = files(corpus, evaluation_fraction=0.3)
    few, many = evaluation_contexts(model, data, 10), evaluation_contexts(model, data, 40)
    assert torch.equal(few.tokens, many.tokens[:10])
    sources._packed.cache_clear()
    assert torch.equal(few.tokens, evaluation_contexts(model, data, 10).tokens)


def test_held_out_contexts_come_from_held_out_documents(model: ModelConfig, corpus: Path):
    data = files(corpus, evaluation_fraction=0.3)
    held_out = {tuple(f"w{i}" for i in row) for row in evaluation_contexts(model, data, 40).tokens[:, 1:].tolist()}
    documents = [document.split() for document in text.documents(data, "test")]
    assert held_out <= {tuple(document[i : i + 4]) for document in documents for i in range(0, 40, 4)}


def test_too_little_held_out_text_is_one_line(model: ModelConfig, corpus: Path, offline: list[dict[str, object]]):
    data = files(corpus, evaluation_fraction=0.3)
    with pytest.raises(UserError, match=r"eval.sequences=100000, but the held-out text of files fills \d+ con"):
        evaluation_contexts(model, data, 100_000)
    with pytest.raises(UserError, match="the held-out text of data=files is shorter than one context"):
        evaluation_contexts(model, files(corpus, evaluation_fraction=0.0), 1)
    with pytest.raises(UserError, match=r"but the held-out text of hub fills \d+ contexts"):
        evaluation_contexts(model, hub(), 100_000)
    with pytest.raises(UserError, match="but the held-out text of hub fills 0 contexts"):
        evaluation_contexts(model, hub(evaluation_documents=0), 1)


def test_calibration_is_the_same_for_every_seed(model: ModelConfig, corpus: Path):
    first = sources.calibration_contexts(model, files(corpus), 20)
    assert torch.equal(first.tokens, sources.calibration_contexts(model, files(corpus), 40).tokens[:20])
