"""Fixtures shared by all tests: a tiny language model in a Hugging Face folder, and the rule for skips under CI."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # what a GPU would run is run by Python; read when Triton is imported

from pipeline.runtime.device import hardware
from tests.launching.sweeps import arguments, launch
from tests.tiny import save_tiny_model, save_tiny_text

ONE_PROCESS = {"slurm": "cluster", "report/test_browser.py": "browser", "report/test_profile.py": "browser"}
"""By folder or file of tests/: the marker of tests that share a server, which one worker of pytest-xdist starts."""
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the tool that they need; those of one tool stay in one process."""
    for item in items:
        name = item.path.relative_to(TESTS).as_posix()
        for place, marker in ONE_PROCESS.items():
            if name.startswith(place):
                item.add_marker(marker)
                item.add_marker(pytest.mark.xdist_group(marker))
        if name.startswith("device/"):
            item.add_marker("device")


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
    return save_tiny_model(tmp_path_factory.mktemp("tiny_model"))


@pytest.fixture(scope="session")
def undisturbed(tiny_model: Path, tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that the default launcher has trained in peace, four runs in one pack."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = launch(arguments(tiny_model, tiny_text, folder))
    assert code == 0, output
    return folder


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_text(tmp_path_factory.mktemp("tiny_text"))
