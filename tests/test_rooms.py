"""Imports run one way, rooms are listed once, and what reads records needs neither torch nor transformers."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import ROOMS

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "pipeline"
NO_ROOMS = {"conf", "hydra_plugins", "__pycache__"}
DOORS = {"run", "plot_pareto", "status", "doctor", "clean", "prefetch"}
WITHOUT_TORCH = (
    "plot_pareto", "status", "clean", "analysis.table", "analysis.external_points", "analysis.compute_efficiency",
    "comparison.findings", "comparison.summary", "figures.draw_all", "report.page", "report.results",
)  # fmt: skip


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Lines and modules of the package that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = node.module == "pipeline" and not node.level
            yield from (
                ((node.lineno, f"pipeline.{alias.name}") for alias in node.names)
                if whole
                else [(node.lineno, "." * node.level + (node.module or ""))]
            )


def climbs(name: str, source: str) -> Iterator[str]:
    """Imports of a later room.

    Args:
        name: of the file, within pipeline/.
    """
    room = ROOMS.index(name.removesuffix(".py").partition("/")[0])
    for line, module in imported(source):
        if module.startswith("."):
            yield f"{name}:{line} imports {module}, which does not say from where"
        elif module.startswith("pipeline."):
            other = module.split(".")[1]
            if other not in ROOMS or ROOMS.index(other) > room:
                yield f"{name}:{line} imports {module}"


def test_no_room_imports_from_a_later_one() -> None:
    files = [path.relative_to(PIPELINE).as_posix() for room in ROOMS for path in (PIPELINE / room).rglob("*.py")]
    files.append("errors.py")
    assert len(files) > 150
    found = [fault for name in files for fault in climbs(name, (PIPELINE / name).read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "from pipeline.report.page import page", "import pipeline.figures", "from pipeline import pack",
        "def f():\n    from pipeline.records import record", "from pipeline.run import main", "from . import blocks",
    ],
)  # fmt: skip
def test_the_rule_finds_what_it_is_for(source: str) -> None:
    assert list(climbs("tokens/contexts.py", source))


def test_the_list_names_what_is_there() -> None:
    folders = {path.name for path in PIPELINE.iterdir() if path.is_dir()} - NO_ROOMS
    files = {path.stem for path in PIPELINE.glob("*.py")} - {"__init__"}
    assert folders | files == {*ROOMS} | DOORS
    assert len(files) <= 10


def test_what_reads_records_needs_no_torch() -> None:
    """In one process, one module after the other: the first that imports a heavy one is named."""
    heavy = "{'torch', 'transformers', 'transformer_lens'} & sys.modules.keys()"
    code = "\n".join(f"import sys, pipeline.{module}\nassert not {heavy}, '{module}'" for module in WITHOUT_TORCH)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_changes_nothing() -> None:
    code = "import os; before = dict(os.environ); import pipeline; assert os.environ == before"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_the_readme_lists_the_rooms_in_order() -> None:
    listed = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert listed == [*ROOMS]


@pytest.mark.parametrize("door", sorted(DOORS))
def test_a_door_is_thin(door: str) -> None:
    assert len((PIPELINE / f"{door}.py").read_text().splitlines()) <= 60
