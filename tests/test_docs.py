"""The documentation: generated pages are up to date, links lead somewhere, examples run."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from docs.generate import reference
from pipeline.storage.places import BASE
from tests.launching.sweeps import arguments
from tests.shared import shared_folder

PAGES = sorted(path for path in (BASE / "docs").rglob("*.md")) + [BASE / "README.md"]
WITH_PYTHON = ("how_to/pandas.md", "how_to/load_sae.md", "reference/python.md")
PAGES_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every command of ours in the pages, without its comment."""
    lines = [line for page in PAGES for block in blocks(page.read_text(), "") for line in block.splitlines()]
    return sorted({re.split(r"\s#", line)[0].strip() for line in lines if line.startswith("python pipeline/")})


@pytest.mark.parametrize("name", ["settings.md", "columns.md", "commands.md", "python.md"])
def test_the_reference_is_of_this_code(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == reference.pages()[name], "run python -m docs.generate.reference"


@pytest.mark.parametrize("page", [reference.settings_page, reference.columns_page])
def test_the_reference_leaves_no_meaning_out(page: Callable[[], str]) -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    vague = re.compile(r"\| (setting of [^|]*)? ?\|$")
    assert [row for row in rows if vague.search(row)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(BASE).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    links = PAGES_LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((BASE / "README.md").read_text().splitlines()) <= 120


@pytest.fixture(scope="module")
def place(tiny_model: Path, tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a trained and drawn sweep, as the pages have it."""
    return shared_folder(tmp_path_factory, "docs", partial(trained_and_drawn, tiny_model, tiny_text))


def trained_and_drawn(model: Path, text: Path, folder: Path) -> None:
    words = arguments(model, text, folder / "sweeps", "hydra.launcher.slots=1", steps=50)
    one_run = {
        "architecture=baseline,gated": "architecture=gated",
        "sparsity_coefficient=2,4": "sparsity_coefficient=2",
    }
    words = [one_run.get(word, word) for word in words if not word.startswith("hydra.launcher")]
    done = subprocess.run([sys.executable, "pipeline/run.py", *words], cwd=BASE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    words = [sys.executable, "pipeline/plot_pareto.py", f"sweeps_dir={folder}/sweeps", f"results_dir={folder}/results"]
    done = subprocess.run([*words, "replicates=0"], cwd=BASE, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_examples_run(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    run = next((place / "sweeps" / "runs").iterdir()).name
    code = "\n".join(blocks((BASE / "docs" / page).read_text(), "python"))
    code = code.replace("<sweep>", "tiny").replace("<run>", run)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, page, "exec"), {})


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("python pipeline/run.py")])
def test_commands_have_right_keys(line: str) -> None:
    """Each is read by the check of the command line; names that stand for a user's own are replaced."""
    from pipeline.cli.command_line import check_command_line

    words = shlex.split(line.replace("sweep=NAME", "sweep=smoke").replace("FOLDER", "folder"))[2:]
    check_command_line(words, "python pipeline/run.py")


def test_keys_of_the_other_doors_exist() -> None:
    found = [line for line in commands() if not line.startswith(("python pipeline/run.py", "python pipeline/prefetch"))]
    for line in found:
        door, *given = shlex.split(line)[1:]
        usage = reference.DOORS[Path(door).stem].USAGE
        assert [word for word in given if f"{word.partition('=')[0]}=" not in usage] == [], line
