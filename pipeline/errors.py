"""Errors that are the user's to mend, or a run's own: one line that says what is wrong and what would be right."""

import errno
import os
from pathlib import Path


class UserError(Exception):
    """A setting, file or hook that cannot work; shown as one line, without a traceback."""


class NotWritable(UserError):
    """The disk is full, or a folder may not be written: no run's fault, and nothing half is left behind."""


class DamagedFile(Exception):
    """A file is not what was written: cut, changed, or something else in its place."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} cannot be read ({why})")
        self.path, self.why = path, why

    def __reduce__(self) -> tuple[type["DamagedFile"], tuple[Path, str]]:
        return DamagedFile, (self.path, self.why)


class TrainingDiverged(Exception):
    """The loss of a run stopped being finite; the run leaves a failure record and its pack goes on."""


class ProcessKilled(Exception):
    """The process that trained a run was killed, or crashed, and no other run was in it."""


class LeaseLost(Exception):
    """Another process works on this run now: whatever is in its folder is that one's to write."""


class Interrupted(Exception):
    """The user pressed Ctrl-C (or the process was told to stop): checkpoints are written, the same command resumes."""


IN_THE_WAY = {
    errno.ENAMETOOLONG: "use a shorter name", errno.ENOTDIR: "a file is where a folder is expected",
    errno.EISDIR: "a folder is where a file is expected", errno.EEXIST: "a file is where a folder is expected",
    errno.ELOOP: "a link leads back to itself", errno.EACCES: "make it accessible", errno.EPERM: "make it accessible",
    errno.EROFS: "use a folder that can be written", errno.ENOSPC: "make room", errno.EDQUOT: "make room",
}  # fmt: skip
"""What a user can do about the disk's refusals; every other OSError is for programmers."""


def disk_error(error: OSError) -> str | None:
    """One line that names the path; None where the error is no refusal of the disk's."""
    hint = IN_THE_WAY.get(error.errno or 0)
    if hint is None or not error.filename:
        return None
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return f"{name if len(name) <= 200 else name[:200] + '...'}: {os.strerror(error.errno or 0)}: {hint}"
