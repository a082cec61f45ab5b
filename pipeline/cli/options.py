"""key=value arguments of the small commands: plot_pareto, status, doctor, clean. (run.py's are Hydra's.)"""

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.config.hints import did_you_mean, hint
from pipeline.errors import UserError, disk_error
from pipeline.runtime import streams
from pipeline.storage.places import check_working_directory


def key_values(arguments: Sequence[str], accepted: Sequence[str]) -> dict[str, str]:
    """The arguments as a dictionary.

    Raises:
        UserError: a key is unknown, doubled or without a value.
    """
    given: dict[str, str] = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in accepted:
            raise UserError(f"{key} is unknown{hint(key, accepted)}")
        if not value or key in given:
            raise UserError(f"{key} {'is given twice' if key in given else 'has no value: expected ' + key + '=...'}")
        given[key] = value
    return given


def true_or_false(key: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise UserError(f"{key}={value} is neither true nor false")
    return value == "true"


def seconds(key: str, value: str) -> float:
    with suppress(ValueError):
        if 0 < float(value) < float("inf"):
            return float(value)
    raise UserError(f"{key}={value} is no number of seconds above 0")


def whole_number(key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise UserError(f"{key}={value} is no whole number from 0 on")
    return int(value)


def records_folder(given: Mapping[str, str], default: Path) -> Path:
    """The value of sweeps_dir, which must be a folder where it is given; the default need not exist yet."""
    folder = Path(given.get("sweeps_dir", default))
    if not folder.is_dir() and ("sweeps_dir" in given or folder.exists()):
        raise UserError(f"sweeps_dir={folder} is no folder")
    return folder


def one_sweep(sweep: str, on_disk: Sequence[str]) -> str:
    """The sweep, which must be on disk."""
    if sweep not in on_disk:
        hint = did_you_mean(sweep, on_disk)
        raise UserError(f"sweep={sweep} is not on disk; {hint}(on disk: {', '.join(on_disk) or 'none'})")
    return sweep


def command(work: Callable[[Sequence[str]], int], usage: str, arguments: Sequence[str] | None) -> int:
    """A command's exit code: its help where that is asked for, a user's mistake as one line, as run.py says it.

    Args:
        arguments: None: those that were typed.
    """
    streams.prepare()
    given = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(given):
        print(usage)
        return _printed(0)
    try:
        check_working_directory()
        return _printed(work(given))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if (line := disk_error(error)) is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 2


def _printed(code: int) -> int:
    """The exit code; that of a command whose output did not arrive is not 0."""
    lost = streams.lost()
    if lost is None:
        return code
    if lost.errno == errno.EPIPE:  # `| head` has read enough
        return code or 141
    print(f"error: standard output cannot be written: {lost.strerror}", file=sys.stderr)
    return code or 1
