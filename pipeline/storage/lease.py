"""Leases: which process works on a folder. A process presumed dead (a lost node, a cut network) that is still alive
finds its lease taken before its next change to that folder, and stops.

lease.json names the attempt, the host and the process; its modification time is the heartbeat. Clocks of two machines
are never compared: a process on another host is alive if its heartbeat changes while we watch.
"""

import json
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DamagedFile, LeaseLost, NotWritable
from pipeline.storage import write_access
from pipeline.storage.files import plain_disk_errors, remove, write_json
from pipeline.storage.layout import CLAIM, FENCED, LEASE, UNFINISHED
from pipeline.storage.phases import phase
from pipeline.storage.reading import open_file, whole_object

PARTS = {"attempt": int, "host": str, "pid": int, "slurm_job": str}
BEAT_SECONDS, PATIENCE_SECONDS = 5.0, 20.0


def own_job() -> str:
    """This process's Slurm task, as squeue names it; empty outside of Slurm and in a shell inside a job."""
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return ""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")


def process_start(pid: int) -> str | None:
    """When a process of this host began, in kernel ticks; None where no living process has this number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def read_lease(folder: Path) -> dict[str, Any] | None:
    """The lease of a folder; None where it is absent or damaged."""
    return whole_object(folder / LEASE, PARTS)


def holder(lease: dict[str, Any]) -> str:
    """Who holds a lease, in words."""
    job = f", Slurm job {lease['slurm_job']}" if lease.get("slurm_job") else ""
    return f"process {lease['pid']} on {lease['host']}{job}"


def is_alive(lease: dict[str, Any]) -> bool | None:
    """Whether the process that holds a lease is alive; None where only its heartbeat can tell."""
    if lease.get("ended") or (lease.get("slurm_job") and lease["slurm_job"] == own_job()):
        return False  # the same Slurm task again: Slurm gave the earlier process up before it started us
    if lease.get("host") != platform.node() or not lease.get("started"):
        return None
    start = process_start(lease.get("pid", 0))
    return start is not None and start == lease["started"]


@dataclass(frozen=True)
class Held:
    """A lease that this process holds, with its folder for unfinished files."""

    folder: Path
    lease: dict[str, Any]
    unfinished: Path

    def check(self) -> Path:
        """The folder for unfinished files. Raises: LeaseLost, where the lease is no longer ours."""
        found = read_lease(self.folder)
        if found != self.lease:
            by = f"by {holder(found)}, attempt {found['attempt']}" if found else "from disk"
            raise LeaseLost(f"taken over {by}: this process (attempt {self.lease['attempt']}) leaves it alone")
        return self.unfinished

    def beat(self) -> None:
        """Touch the file through the descriptor that was read: if another process replaces it meanwhile, its file is
        not touched.
        """
        with open_file(self.folder / LEASE) as file:
            if json.loads(file.read()) == self.lease:
                os.utime(file.fileno())


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
    """Holds the leases of some folders while a block runs; folders held by a living process are in `living` instead.

    Args:
        patience: seconds to watch for a heartbeat of a process on another host; PATIENCE_SECONDS by default.
    """

    def __init__(self, folders: Sequence[Path], patience: float | None = None) -> None:
        self.folders, self.patience = folders, PATIENCE_SECONDS if patience is None else patience
        self.mine: dict[Path, Held] = {}
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
        """Give a folder back: without a lease if it is finished, else with a lease that says its process ended.

        From then on this process writes nothing there until it takes another lease.
        """
        held = self.mine.pop(folder, None)
        if held is None:
            return
        with suppress(LeaseLost, NotWritable, OSError):  # taken over, or read-only: the heartbeat stops anyway
            held.check()
            if finished:
                remove(folder / LEASE)
            else:
                write_json(folder / LEASE, held.lease | {"ended": time.time()})
        shutil.rmtree(held.unfinished, ignore_errors=True)
        write_access.revoke(folder, held.check)

    # ------------------------------------------------------------------------------------------------------ inside

    @phase("lease")
    def _take(self, folder: Path, earlier: dict[str, Any] | None) -> None:
        """Write our lease after `earlier`. Of two that try at once, one creates the claim and the other yields."""
        folder.mkdir(parents=True, exist_ok=True)
        number = (earlier["attempt"] if earlier else 0) + 1
        claim = folder / CLAIM.format(number=number)
        deadline = time.monotonic() + self.patience
        while not _create(claim) and time.monotonic() < deadline:
            time.sleep(0.1)  # another process holds the claim; if it died, the claim stays behind and expires
        try:
            if read_lease(folder) != earlier:
                self.living[folder] = read_lease(folder) or {"pid": "?", "host": "another host"}
                return
            lease = {
                "attempt": number, "host": platform.node(), "pid": os.getpid(), "started": process_start(os.getpid()),
                "slurm_job": own_job(), "time": time.time(), "ended": None,
            }  # fmt: skip
            write_access.forget(folder)  # a lease that this process has given back
            write_json(folder / LEASE, lease)
            unfinished = _fence(folder)
        finally:
            with suppress(OSError):
                claim.unlink()
        held = self.mine[folder] = Held(folder, lease, unfinished)
        write_access.grant(folder, held.check)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            for held in list(self.mine.values()):
                with suppress(DamagedFile, OSError, ValueError):  # the next write raises
                    held.beat()


def _fence(folder: Path) -> Path:
    """Take the folders for unfinished files from earlier holders of the lease; returns our own.

    They are renamed first, which is atomic: from then on a rename out of them or into them fails.
    """
    for earlier in folder.glob(f"{UNFINISHED}*"):
        fenced = folder / f"{FENCED}{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            earlier.rename(fenced)
            shutil.rmtree(fenced, ignore_errors=True)
    own = folder / f"{UNFINISHED}{uuid.uuid4().hex}"
    own.mkdir()
    return own


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
