"""key=value arguments of the small commands: plot_pareto, status, doctor, clean. (run.py's are Hydra's.)

A command declares its keys once, as the fields of a dataclass: `usage` lists them, `parse` reads and checks them.
"""

import errno
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.config.hints import hint
from pipeline.errors import UserError, disk_error
from pipeline.runtime import streams
from pipeline.storage.places import check_working_directory, door

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")
HELP_WIDTH = 120
Reader = Callable[[str, str], Any]
"""From a key and its text to its value; raises UserError where the text is none."""


def text(_: str, value: str) -> str:
    return value


def path(_: str, value: str) -> Path:
    return Path(value)


@dataclass(frozen=True)
class _Declared:
    placeholder: str
    meaning: str
    read: Reader


def option(placeholder: str, meaning: str, read: Reader = text, default: object = None) -> Any:
    """A field of a command's options.

    Args:
        placeholder: what --help writes behind `key=`.
        read: turns the given text into the value; `default` is a value already.
    """
    return field(default=default, metadata={"declared": _Declared(placeholder, meaning, read)})


def usage(name: str, about: str, options: "type[DataclassInstance]") -> str:
    """The help of a command: how it is called, what it does, what each key means.

    Args:
        name: of the door.
    """
    keys = {f"{key}={declared.placeholder}": declared.meaning for key, declared in _declared(options).items()}
    start, width = f"usage: {door(name)} ", max(map(len, keys)) + 4
    # a bracket stays whole: its words hold no space
    call = textwrap.fill(
        " ".join(f"[{key}]" for key in keys), HELP_WIDTH, initial_indent=start, subsequent_indent=" " * len(start),
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip
    lines = [
        textwrap.fill(meaning, HELP_WIDTH, initial_indent=f"  {key}".ljust(width), subsequent_indent=" " * width)
        for key, meaning in keys.items()
    ]
    return "\n".join([call, "", about.strip("\n"), "", *lines])


def parse(options: type[Options], arguments: Sequence[str]) -> Options:
    """The options that key=value arguments give.

    Raises:
        UserError: a key is unknown, doubled or without a value, or a value is wrong.
    """
    declared = _declared(options)
    given = key_values(arguments, list(declared))
    return options(**{key: declared[key].read(key, given[key]) for key in declared if key in given})


def _declared(options: "type[DataclassInstance]") -> dict[str, _Declared]:
    return {each.name: each.metadata["declared"] for each in fields(options)}


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
    raise UserError(f"{key}={value} is not a number of seconds above 0")


def whole_number(key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise UserError(f"{key}={value} is not a whole number of at least 0")
    return int(value)


def one_of(accepted: Sequence[str]) -> Reader:
    def read(key: str, value: str) -> str:
        if value not in accepted:
            raise UserError(f"{key}={value} is unknown{hint(value, accepted)}")
        return value

    return read


def folder(key: str, value: str) -> Path:
    """A folder that exists."""
    found = Path(value)
    if not found.is_dir():
        raise UserError(f"{key}={found} is not a folder")
    return found


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
        print("stopped: the same command starts again", file=sys.stderr)
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
