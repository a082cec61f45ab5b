"""A user's own files, found in the working directory: their mistakes are one line, and metrics name an evaluation."""

from pathlib import Path

import pytest
import torch

from pipeline.config.schema import DataConfig
from pipeline.errors import UserError
from pipeline.evaluation.user_metrics import user_metrics, user_metrics_identity
from pipeline.records.identity import evaluation_identity, reference_identity, run_name
from pipeline.runtime.user_code import load, user_files
from pipeline.storage.places import PACKAGE
from pipeline.tokens.python_source import digest, python_documents
from tests.factories import run_config

SUMS = {"tokens": torch.tensor([3.0, 5.0])}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def metric(here: Path, body: str, name: str = "mine") -> None:
    (here / "metrics").mkdir(exist_ok=True)
    (here / "metrics" / f"metric_{name}.py").write_text(f"def metric(sums, metrics):\n    {body}\n")


def test_nothing_of_a_user_is_nothing() -> None:
    assert user_metrics(SUMS, {}) == {} == user_metrics_identity() and user_files("architectures") == []


def test_a_metric_has_its_files_name_and_what_is_not_finite_is_nan(here: Path) -> None:
    metric(here, "return float(sums['tokens'].sum()) + metrics['l0']")
    metric(here, "return float('inf')", "infinite")
    (here / "metrics" / "helper.py").write_text("raise ValueError\n")
    assert user_metrics(SUMS, {"l0": 1.0}) == pytest.approx({"infinite": float("nan"), "mine": 9.0}, nan_ok=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 'many'", "metric returns str: expected a number"),
        ("return sums['l00']", r"metric_mine.py, line 2: KeyError: 'l00'"),
    ],
)
def test_a_metric_that_is_none_is_one_line(here: Path, body: str, said: str) -> None:
    metric(here, body)
    with pytest.raises(UserError, match=said) as raised:
        user_metrics(SUMS, {})
    assert "\n" not in str(raised.value)


def test_a_metric_may_not_replace_one_of_ours(here: Path) -> None:
    metric(here, "return 0.0", "l0")
    with pytest.raises(UserError, match=r"expected another, as metric_my_l0.py"):
        user_metrics(SUMS, {"l0": 1.0})


def test_a_launch_finds_a_file_without_its_function(here: Path) -> None:
    metric(here, "return 0.0")
    (here / "metrics" / "metric_empty.py").write_text("")
    with pytest.raises(UserError, match=r"metric_empty.py has no function metric"):
        evaluation_identity(run_config())


def test_metrics_name_the_evaluation_and_neither_the_run_nor_its_references(here: Path) -> None:
    run = run_config()
    names = []
    for body in (None, "return 0.0", "return 1.0"):
        if body:
            metric(here, body)
        names.append((evaluation_identity(run), run_name(run), reference_identity(run)))
    evaluations, runs, references = (set(column) for column in zip(*names, strict=True))
    assert (len(evaluations), len(runs), len(references)) == (3, 1, 1)


def test_the_packages_own_folders_are_no_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGE / "sae")
    assert user_files("architectures") == []


def test_a_file_is_loaded_once_and_one_that_is_absent_is_named(here: Path) -> None:
    (here / "one.py").write_text("class A:\n    pass\n")
    assert load(here / "one.py").A is load(here / "one.py").A
    with pytest.raises(UserError, match=r"two.py cannot be read: No such file"):
        load(here / "two.py")
    with pytest.raises(UserError, match=r"expected a name that ends in .py"):
        load(here / "three.txt")


def test_documents_are_named_by_what_they_say(here: Path) -> None:
    sources = []
    for name, code in (("one", "yield 'a'; yield 'b'"), ("same", "yield from 'ab'"), ("other", "yield 'ab'")):
        (here / f"{name}.py").write_text(f"def documents(data):\n    {code}\n")
        sources.append(DataConfig(name="own", source="python", path=f"{name}.py"))
    one, same, other = sources
    assert list(python_documents(one)) == ["a", "b"] and digest(one) == digest(same) != digest(other)
