"""Processes of a test cluster: found by pid file and command line, or by their environment; never by name alone."""

import contextlib
import os
import signal
import time
from pathlib import Path


def alive(pid_file: Path, program: str, folder: Path) -> int | None:
    """The process of a pid file, if it still is that program and belongs to that folder."""
    try:
        number = int(pid_file.read_text())
    except (OSError, ValueError):
        return None
    command = command_line(number)
    is_it = bool(command) and Path(command[0]).name.startswith(program) and any(str(folder) in c for c in command)
    return number if is_it else None


def stop(pid_file: Path, program: str, folder: Path, number: signal.Signals, wait: bool = True) -> None:
    """Signal a daemon, wait until it is gone, and kill it if it stays for 15 s."""
    process = alive(pid_file, program, folder)
    if process is None:
        return
    send(process, number)
    deadline = time.monotonic() + 15
    while wait and alive(pid_file, program, folder) == process:
        if time.monotonic() > deadline:
            send(process, signal.SIGKILL)
        time.sleep(0.05)
    if wait:
        pid_file.unlink(missing_ok=True)


def of_node(conf: Path, node: str) -> list[int]:
    """Everything that runs on a node of a cluster but its slurmd: what guards job steps, and the jobs' processes."""
    wanted = {f"SLURM_CONF={conf}", f"SLURMD_NODENAME={node}"}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        number = int(folder.name)
        command = command_line(number)
        if number == os.getpid() or not command or Path(command[0]).name == "slurmd":
            continue
        with contextlib.suppress(OSError):
            if wanted <= set((folder / "environ").read_bytes().decode(errors="replace").split("\0")):
                found.append(number)
    return found


def kill_node(conf: Path, node: str) -> None:
    """Kill all of `of_node`, and what those processes start meanwhile."""
    while found := of_node(conf, node):
        for number in found:
            send(number, signal.SIGKILL)
        time.sleep(0.02)


def send(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def command_line(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []
