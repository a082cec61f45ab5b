"""Names on disk stand in one module: elsewhere in the package they are no literals."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage import layout

PACKAGE = Path(layout.__file__).parent.parent
NAMES = {value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)} - {
    layout.TEMPORARY
}
FOLDERS = {name for name in NAMES if name.isalpha()}
"""Ordinary words too: only as parts of a path do they mean these folders."""
HYDRAS = ("storage/places.py", "config.yaml")
"""Where conf/ lies: Hydra gives its file the same name as ours in a run's folder."""


def literals(source: str) -> Iterator[tuple[int, str]]:
    """Lines and literals that hold a name of the layout."""
    tree = ast.parse(source)
    joined = {
        id(side) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        for side in (node.left, node.right)
    }  # fmt: skip
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or any(map(str.isspace, node.value)):
            continue
        parts = set(node.value.split("/"))
        is_path = id(node) in joined or len(parts) > 1
        if parts & (NAMES if is_path else NAMES - FOLDERS):
            yield node.lineno, node.value


def test_no_other_module_names_a_file_or_folder() -> None:
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    del files["storage/layout.py"]
    found = [
        f"{name}:{line} {value!r}" for name, path in files.items() for line, value in literals(path.read_text())
        if (name, value) != HYDRAS
    ]  # fmt: skip
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        'folder / "runs" / name', 'open("metrics.json")', 'folder / f"evaluation-{evaluation}"', 'f"packs/{name}.json"',
        'folder.glob("*/checkpoints")', '"checkpoints" / name', 'remove(folder / "lease.json")',
    ],
)  # fmt: skip
def test_the_rule_finds_what_it_is_for(source: str) -> None:
    assert list(literals(source))


def test_the_rule_lets_words_be_words() -> None:
    assert not list(literals('content["runs"], "slurm", "the runs/ folder holds metrics.json"'))


def test_where_everything_lies(tmp_path: Path) -> None:
    run = layout.run_folder(tmp_path, "name")
    assert run == tmp_path / "runs" / "name" and layout.sweeps_dir_of(run) == tmp_path
    assert layout.runs_folder(tmp_path) == run.parent and layout.shared_folder(tmp_path) == tmp_path / "shared"
    assert layout.evaluation_folder(run, "abc") == run / "evaluation-abc"
    assert layout.checkpoints_folder(run) == run / "checkpoints"
    assert layout.sweep_folder(tmp_path, "mine") / layout.pack_file("12") == tmp_path / "mine" / "packs" / "12.json"
