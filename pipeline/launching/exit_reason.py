"""How a process ended, in plain words: from its signal, or from what Slurm wrote into its log."""

import re
import signal
from pathlib import Path

from pipeline.errors import DamagedFile
from pipeline.storage.reading import open_file

NO_MEMORY = "killed by the system (out of memory)"
PERHAPS_NO_MEMORY = "killed by the system (out of memory?)"
TAIL = 4000
"""Bytes at the end of a log that are searched for the reason."""


def by_signal(number: int) -> str:
    """An out-of-memory kill cannot be told from any other SIGKILL."""
    name = f"signal {number}, {signal.Signals(number).name}"
    return f"{PERHAPS_NO_MEMORY}: {name}" if number == signal.SIGKILL else f"its process was ended by {name}"


def in_log(log: Path, state: str) -> str:
    """The reason that Slurm wrote at the end of a task's log; without one, the task's state."""
    try:
        with open_file(log) as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            tail = file.read().decode(errors="replace")
    except (OSError, DamagedFile):
        tail = ""
    messages = re.findall(r"^(?:srun|slurmstepd(?:-\w+)?): (?:error: )?(.+)$", tail, re.M)
    for reason, pattern in ((NO_MEMORY, r"oom|out.of.memory|memory limit"), (PERHAPS_NO_MEMORY, r"\bKilled$")):
        line = next((each for each in reversed(messages) if re.search(pattern, each, re.I)), None)
        if line:
            return f"{reason}: {line}"
    if state == "OUT_OF_MEMORY":
        return NO_MEMORY
    return f"its process ended: {messages[-1] if messages else state}"
