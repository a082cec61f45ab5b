"""What becomes of work whose output cannot be printed, and of characters that an encoding lacks."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import clean, doctor, plot_pareto, status

WORK = """
import sys
from pipeline.runtime import streams
streams.prepare(lambda error: print("lost:", error.errno, file=sys.stderr))
file = open(sys.argv[1], "w")
for _ in range(30):
    print("x" * 1000)
file.write("done")
file.close()
print("end", file=sys.stderr)
streams.lost()
"""
NAMES = r"from pipeline.runtime import streams; streams.prepare(); print('\u03bb\xb2 \xfc \udcfc', end='')"


def work(tmp_path: Path, redirected: str) -> str:
    """stderr of a command whose output is redirected so; it has written its file, and nothing else into it."""
    command = f'"{sys.executable}" -c "$0" "$1" {redirected}'
    done = subprocess.run(["sh", "-c", command, WORK, tmp_path / "file"], stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_text() == "done"
    return done.stderr


@pytest.mark.parametrize(
    ("redirected", "said"),
    [
        ("> /dev/full", "lost: 28\nend\n"), (">&-", "end\n"), ("<&- >&-", "end\n"), ("> /dev/full 2> /dev/full", ""),
        ("<&- >&- 2>&-", ""), ("| true", "lost: 32\nend\n"),
    ],
)  # fmt: skip
def test_work_goes_on_whatever_becomes_of_its_output(tmp_path: Path, redirected: str, said: str) -> None:
    assert work(tmp_path, redirected) == said


def test_work_goes_on_when_its_terminal_has_gone(tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    os.close(terminal)
    process = subprocess.Popen([sys.executable, "-c", WORK, tmp_path / "file"], stdout=its_end, stderr=its_end)
    os.close(its_end)
    assert process.wait(60) == 0 and (tmp_path / "file").read_text() == "done"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PYTHONIOENCODING": "utf-8"}, "λ² ü ".encode() + b"\xfc"),
        ({"PYTHONIOENCODING": "latin-1"}, b"\\u03bb\xb2 \xfc \xfc"),
        ({"PYTHONIOENCODING": "ascii"}, rb"\u03bb\xb2 \xfc " + b"\xfc"),
        ({"LC_ALL": "C"}, "λ² ü ".encode() + b"\xfc"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, rb"\u03bb\xb2 \xfc " + b"\xfc"),
    ],
)
def test_names_are_printed_as_they_are_or_escaped(environment: dict[str, str], expected: bytes) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LC_", "LANG"))}
    done = subprocess.run([sys.executable, "-c", NAMES], env=kept | environment, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (expected, b"")


@pytest.mark.parametrize("door", [clean, doctor, plot_pareto, status], ids=lambda door: door.__name__)
def test_a_command_whose_output_is_lost_says_so_in_one_line(door, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    for output, code, said in (("/dev/full", 1, 1), (None, 141, 0), ("/dev/null", 0, 0)):
        child = os.fork()
        if not child:
            reading, writing = os.pipe()
            os.close(reading)  # nobody reads
            os.dup2(writing if output is None else os.open(output, os.O_WRONLY), 1)
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.stdout, sys.stderr = (open(fd, "w", closefd=False) for fd in (1, 2))  # noqa: SIM115
            os._exit(door.main(["--help"]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
        lines = errors.read_text().splitlines()
        assert len(lines) == said and all("standard output" in line for line in lines)
