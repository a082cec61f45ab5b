"""Where this process may write. A lease says so here (`lease.py`), and every change on disk asks here (`files.py`).

A folder that no lease names is free to write.
"""

from collections.abc import Callable
from pathlib import Path

from pipeline.errors import LeaseLost

Check = Callable[[], Path]
"""Raises LeaseLost where another process has the lease, else returns the folder for unfinished files."""

_checks: dict[Path, Check] = {}


def grant(folder: Path, check: Check) -> None:
    """From now on every change below `folder` calls `check` first."""
    _checks[folder] = check


def revoke(folder: Path, check: Check) -> None:
    """Refuse every change below `folder` from now on: the lease of this check was given back.

    It stays as it is where this process has taken another lease since then.
    """
    if _checks.get(folder) == check:
        _checks[folder] = _given_back


def forget(folder: Path) -> None:
    """Let this process write below `folder` without a lease, also after one that it gave back."""
    _checks.pop(folder, None)


def check(path: Path) -> Path | None:
    """Ask the lease on a folder above `path`, before a change there.

    Returns:
        The lease's folder for unfinished files; None where no lease is on a folder above.

    Raises:
        LeaseLost: this process may not change anything there.
    """
    above = next((_checks[folder] for folder in path.parents if folder in _checks), None)
    return above() if above else None


def _given_back() -> Path:
    raise LeaseLost("given back: this process leaves it alone")
