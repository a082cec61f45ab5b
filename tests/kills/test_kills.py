"""A handful of kills on every change; `make kill100` makes a hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_killed_at_any_instant_and_resumed_equals_never_killed() -> None:
    command = [sys.executable, "-m", "tests.kills.kill", "--kills=9", "--each=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as never killed, bit for bit" in done.stdout.splitlines()[-1]
