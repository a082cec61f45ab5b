"""Leases: which process works on a folder. One that was left for dead (a lost node, a cut network) and lives on finds
its lease gone before its next rename, and stops.

lease.json names the attempt, the host and the process; its modification time is the heartbeat. Clocks of two machines
are never compared: whether another host's process lives is seen by watching the heartbeat for a while.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import LeaseLost
from pipeline.files import GUARDS, plain_disk_errors, write_json

LEASE = "lease.json"
BEAT_SECONDS, PATIENCE_SECONDS = 5.0, 20.0


def own_job() -> str:
    """The Slurm task that this process is, as squeue names it; empty elsewhere, also in a shell inside a job."""
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return ""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")


def process_start(pid: int) -> str | None:
    """When a process of this host began, in its kernel's ticks; None when none with this number lives."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def read_lease(folder: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads((folder / LEASE).read_text())
    except (OSError, ValueError):
        return None
    return content


def holder(lease: dict[str, Any]) -> str:
    """Who holds a lease, in words."""
    job = f", Slurm job {lease['slurm_job']}" if lease.get("slurm_job") else ""
    return f"process {lease['pid']} on {lease['host']}{job}"


def is_alive(lease: dict[str, Any]) -> bool | None:
    """Whether the process that holds a lease lives; None where only its heartbeat can tell."""
    if lease.get("ended") or (lease.get("slurm_job") and lease["slurm_job"] == own_job()):
        return False  # the same Slurm task again: Slurm started us because the earlier process is gone to it
    if lease.get("host") != platform.node() or not lease.get("started"):
        return None
    start = process_start(lease["pid"])
    return start is not None and start == lease["started"]


Watched = dict[Path, dict[str, Any] | None]


def watch(folders: Sequence[Path], patience: float) -> tuple[Watched, dict[Path, dict[str, Any]]]:
    """The lease of each folder, and those of them that living processes hold."""
    found: Watched = {folder: read_lease(folder) for folder in folders}
    living = {folder: lease for folder, lease in found.items() if lease and is_alive(lease)}
    beats = {folder: _heartbeat(folder) for folder, lease in found.items() if lease and is_alive(lease) is None}
    deadline = time.monotonic() + patience
    while beats and time.monotonic() < deadline:
        time.sleep(min(0.5, patience))
        for folder in [folder for folder, beat in beats.items() if _heartbeat(folder) != beat]:
            del beats[folder]
            lease = found[folder] = read_lease(folder)
            if lease and not lease.get("ended"):
                living[folder] = lease
    return found, living


class Leases:
    """The leases of some folders while a block runs; folders that a living process holds are in `living` instead.

    Args:
        patience: seconds to watch for a heartbeat of a process on another host.
    """

    def __init__(self, folders: Sequence[Path], patience: float = PATIENCE_SECONDS) -> None:
        self.folders, self.patience = folders, patience
        self.mine: dict[Path, dict[str, Any]] = {}
        self.living: dict[Path, dict[str, Any]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Leases":
        watched, self.living = watch(self.folders, self.patience)
        for folder in self.folders:
            if folder not in self.living:
                with plain_disk_errors(folder):
                    self._take(folder, watched[folder])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for folder in list(self.mine):
            self.release(folder, finished=False)

    def release(self, folder: Path, finished: bool) -> None:
        """Give a folder back: without a lease when nothing is left to do in it, else with one that says it ended."""
        lease = self.mine.pop(folder, None)
        guard = GUARDS.pop(folder, None)
        if lease is None or guard is None:
            return
        try:
            guard()
            if finished:
                (folder / LEASE).unlink()
            else:
                write_json(folder / LEASE, lease | {"ended": time.time()})
        except (LeaseLost, OSError):
            return  # it is another's by now, or cannot be written: then the heartbeat that stops says the same

    # ------------------------------------------------------------------------------------------------------ inside

    def _take(self, folder: Path, earlier: dict[str, Any] | None) -> None:
        """Write our lease after `earlier`. Two that try at once: one makes the claim, the other finds it living."""
        folder.mkdir(parents=True, exist_ok=True)
        number = (earlier["attempt"] if earlier else 0) + 1
        claim = folder / f".lease-{number}.claim"
        deadline = time.monotonic() + self.patience
        while not _create(claim) and time.monotonic() < deadline:
            time.sleep(0.1)  # another claims it now; if it died at that, its claim stays, and counts no longer
        try:
            if read_lease(folder) != earlier:
                self.living[folder] = read_lease(folder) or {"pid": "?", "host": "another host"}
                return
            lease = {
                "attempt": number, "host": platform.node(), "pid": os.getpid(), "started": process_start(os.getpid()),
                "slurm_job": own_job(), "time": time.time(), "ended": None,
            }  # fmt: skip
            write_json(folder / LEASE, lease)
        finally:
            claim.unlink(missing_ok=True)
        self.mine[folder] = lease
        GUARDS[folder] = lambda: _check(folder, lease)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            for folder in list(self.mine):
                try:
                    _check(folder, self.mine[folder])
                    os.utime(folder / LEASE)
                except (LeaseLost, OSError, KeyError):
                    continue  # the next rename finds out


def _check(folder: Path, lease: dict[str, Any]) -> int:
    found = read_lease(folder)
    if found != lease:
        by = f"by {holder(found)}, attempt {found['attempt']}" if found else "from disk"
        raise LeaseLost(f"taken over {by}: this process (attempt {lease['attempt']}) leaves it alone")
    return int(lease["attempt"])


def _create(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def _heartbeat(folder: Path) -> int:
    try:
        return (folder / LEASE).stat().st_mtime_ns
    except OSError:
        return 0
