"""Fixtures shared by all tests: a tiny language model in a Hugging Face folder, and the rule for skips under CI."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # what a GPU would run is run by Python; read when Triton is imported

from pipeline.runtime.device import hardware
from tests.installed import install
from tests.launching.sweeps import arguments, launch
from tests.shared import shared_folder
from tests.tiny import save_tiny_model, save_tiny_text

ONE_PROCESS = {
    "slurm": "cluster", "report/test_browser.py": "browser", "report/test_profile.py": "browser", "device": "device",
}  # fmt: skip
"""By folder or file of tests/: the marker of tests for all of which one worker of pytest-xdist starts something."""
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the tool that they need; those of one tool stay in one process."""
    for item in items:
        name = item.path.relative_to(TESTS).as_posix()
        for place, marker in ONE_PROCESS.items():
            if name.startswith(place):
                item.add_marker(marker)
                item.add_marker(pytest.mark.xdist_group(marker))


IN_CHECKOUT = pytest.StashKey[set[str]]()


def outside_git(checkout: Path) -> set[str]:
    """What `git status` lists, ignored files too but for caches; nothing where there is no git."""
    command = ["git", "-C", str(checkout), "status", "--porcelain", "--ignored=matching"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return set()
    return {line for line in lines if not re.search(r"(__pycache__|_cache)/$", line)}


def pytest_sessionstart(session: pytest.Session) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        session.config.stash[IN_CHECKOUT] = outside_git(TESTS.parent)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """No test writes into the checkout."""
    before = session.config.stash.get(IN_CHECKOUT, None)
    if before is None:
        return
    new = sorted(outside_git(TESTS.parent) - before)
    if new:
        print(f"\nchanged in the checkout while the tests ran, by a test or by you: {', '.join(new)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A second thread only waits at these sizes, for long where other work runs beside the tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Bits may follow the processor: a log says which one it was (a header would not be shown under -q)."""
    threads = torch.get_num_threads()
    terminalreporter.write_line(f"processor: {hardware(torch.device('cpu'))}, {threads} threads of PyTorch")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """With CI=true a test that skips for want of a tool fails: what is not run there is run nowhere."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_folder(tmp_path_factory, "tiny_model", save_tiny_model)


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_folder(tmp_path_factory, "tiny_text", save_tiny_text)


@pytest.fixture(scope="session")
def undisturbed(tiny_model: Path, tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that the default launcher has trained in peace, four runs in one pack. Read it, and leave it as it is."""

    def fill(folder: Path) -> None:
        code, output = launch(arguments(tiny_model, tiny_text, folder))
        assert code == 0, output

    return shared_folder(tmp_path_factory, "undisturbed", fill)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed package, with its commands in bin/."""
    return shared_folder(tmp_path_factory, "installed", install)
