"""How a process ended, in plain words: from its signal, or from what Slurm wrote into its log."""

import re
import signal
from pathlib import Path

from pipeline.errors import DamagedFile
from pipeline.storage.reading import open_file

NO_MEMORY = "killed by the system (out of memory)"
PERHAPS_NO_MEMORY = "killed by the system (out of memory?)"
TAIL = 4000
"""Bytes at the end of a log in which its last words stand."""


def by_signal(number: int) -> str:
    """The kernel's SIGKILL for want of memory looks like anybody's."""
    name = f"signal {number}, {signal.Signals(number).name}"
    return f"{PERHAPS_NO_MEMORY}: {name}" if number == signal.SIGKILL else f"its process was ended by {name}"


def in_log(log: Path, state: str) -> str:
    """What Slurm's last words in a task's log say of its death, else the state."""
    try:
        with open_file(log) as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            tail = file.read().decode(errors="replace")
    except (OSError, DamagedFile):
        tail = ""
    words = re.findall(r"^(?:srun|slurmstepd(?:-\w+)?): (?:error: )?(.+)$", tail, re.M)
    for said, pattern in ((NO_MEMORY, r"oom|out.of.memory|memory limit"), (PERHAPS_NO_MEMORY, r"\bKilled$")):
        line = next((word for word in reversed(words) if re.search(pattern, word, re.I)), None)
        if line:
            return f"{said}: {line}"
    if state == "OUT_OF_MEMORY":
        return NO_MEMORY
    return f"its process ended: {words[-1] if words else state}"
