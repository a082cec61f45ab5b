"""A browser's folder goes away although its processes write to it until they are dead."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.report.browser import Browser, remove, why_not

WRITER = """
import sys, time
from pathlib import Path
until, number = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < until:
    number += 1
    folder = Path(sys.argv[1]) / "Default"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).touch()
    except OSError:
        pass  # taken away in between
    if number == 1:
        print("writing", flush=True)
"""


def writing(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(seconds)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def test_a_folder_that_is_still_written_to_is_removed(tmp_path: Path) -> None:
    writer = writing(tmp_path / "profile", 1.0)
    while writer.poll() is None:
        remove(tmp_path / "profile")
    remove(tmp_path / "profile")
    assert writer.returncode == 0
    assert not (tmp_path / "profile").exists()


def test_what_cannot_be_removed_is_an_error_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr("tests.report.browser.shutil.rmtree", refuse)
    with pytest.raises(OSError, match="not empty"):
        remove(tmp_path, seconds=0.1)


def alive(group: int) -> list[str]:
    """Commands of a process group that are not dead, reaped or not."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended since
            state, _, its_group = (process / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            found += [(process / "cmdline").read_text()] if int(its_group) == group and state != "Z" else []
    return found


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_no_process_of_a_closed_browser_is_left() -> None:
    with Browser() as browser:
        assert alive(browser.group)
    deadline = time.monotonic() + 10
    while alive(browser.group):
        assert time.monotonic() < deadline, alive(browser.group)
        time.sleep(0.05)
