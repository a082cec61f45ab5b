"""What benchmarks say of the machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import cores_busy


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="no kernel that says")
def test_somebody_elses_work_is_seen():
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        try:
            assert cores_busy(0.5) > 0.7
        finally:
            other.kill()
