"""A command as a process of its own, timed."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.storage.places import BASE


def timed(command: Sequence[str], log: Path, extra: dict[str, str] | None = None) -> float:
    """Seconds from a process's start to its end; what it prints goes to `log`.

    Raises:
        SystemExit: it failed; the end of its log is shown.
    """
    environment = os.environ | {"PYTHONPATH": str(BASE)} | (extra or {})
    started = time.perf_counter()
    with log.open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=BASE, env=environment)
    took = time.perf_counter() - started
    if done.returncode:
        print("\n".join(log.read_text().splitlines()[-15:]))
        raise SystemExit(f"{' '.join(command)} failed with exit code {done.returncode}")
    return took
