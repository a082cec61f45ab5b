"""A plain tree held to a dataclass: every key known, every value of its type and within what its field accepts."""

import reprlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from pipeline.config.accepted import PathLike, Rule, is_control
from pipeline.config.hints import did_you_mean
from pipeline.config.hints import hint as suggestion
from pipeline.errors import UserError

NO_VALUE = "???"
"""What OmegaConf writes where a value must be given."""
TYPES: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false", list: "a list"}

LONGEST_SHOWN = 160
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = LONGEST_SHOWN


def checked(value: Any, hint: Any, key: str) -> Any:
    """The value as its type hint has it: sections as dataclasses, numbers as int or float.

    Args:
        value: what `OmegaConf.to_container` or `json.loads` gives.
        hint: a dataclass, int, float, str, bool, Literal, list, tuple[X, ...], dict, Any, a union of one of them with
            None; each perhaps Annotated with rules (`pipeline.config.accepted`).
        key: the setting's name, for errors.

    Raises:
        UserError: in one line that names the key and says what is accepted.
    """
    bare, rules, nullable = parts(hint)
    if value is None and (nullable or bare is Any):
        return None
    if isinstance(value, str) and value == NO_VALUE:
        raise UserError(f"{key} has no value: give it on the command line or in conf/")
    if is_dataclass(bare):
        return section(value, bare, key)
    found = _of_type(value, bare, hint, key)
    for rule in rules:
        if not rule.holds(found):
            _refuse(key, value, rule.complaint, hint)
    return _at_home(found) if any(isinstance(rule, PathLike) for rule in rules) else found


def section(value: Any, schema: Any, key: str) -> Any:
    """A mapping as an instance of a dataclass; keys that are left out have their defaults."""
    known = {field.name: field for field in fields(schema)}
    if not isinstance(value, Mapping):
        raise UserError(f"{key}={show(value)} is not a section; expected the keys {', '.join(known)}")
    refuse_unknown(value, known, key)
    hints = type_hints(schema)
    given = {
        name: value.get(name, NO_VALUE) for name, field in known.items() if name in value or not has_default(field)
    }
    return schema(**{name: checked(given[name], hints[name], f"{key}.{name}") for name in given})


def refuse_unknown(given: Mapping[Any, Any], known: Mapping[str, Any], key: str = "") -> None:
    prefix = f"{key}." if key else ""
    for name in given:
        if name not in known:
            raise UserError(f"{prefix}{show(name)} is not a setting{suggestion(str(name), list(known))}")


def has_default(field: "Field[Any]") -> bool:
    """Whether there is a default; one that OmegaConf calls missing is none."""
    return field.default_factory is not NO_DEFAULT or field.default not in (NO_DEFAULT, NO_VALUE)


@lru_cache(maxsize=256)
def type_hints(schema: Any) -> dict[str, Any]:
    return get_type_hints(schema, include_extras=True)


def parts(hint: Any) -> tuple[Any, tuple[Rule, ...], bool]:
    """A hint's type, its rules, and whether null is accepted."""
    if get_origin(hint) is Annotated:
        bare, *rules = get_args(hint)
        inner, more, nullable = parts(bare)
        return inner, (*more, *rules), nullable
    if get_origin(hint) in {Union, UnionType}:
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        assert len(kinds) == 1, f"{hint}: a setting has one type"
        return (*parts(kinds[0])[:2], True)
    return hint, (), False


def accepted(hint: Any) -> str:
    """What a setting accepts, in words."""
    bare, rules, nullable = parts(hint)
    origin = get_origin(bare)
    if origin is Literal:
        words = ", ".join(map(str, get_args(bare)))
    elif origin in {list, tuple}:
        words = f"a list, as [a,b]; of each: {accepted(get_args(bare)[0])}"
    elif origin is dict:
        name, entry = map(accepted, get_args(bare))
        words = f"a mapping, as {{a: b}}; each name: {name}; each value: {entry}"
    elif rules:
        words = "; ".join(map(str, rules))
    else:
        words = TYPES.get(origin or bare, "anything")
    return f"{words}, or null" if nullable else words


def show(value: Any) -> str:
    """A value as it was given, in part where it is long, and on one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and value and not any(map(is_control, value)):
        return value if len(value) <= LONGEST_SHOWN else f"{value[:60]}... ({len(value)} characters)"
    try:
        return _brief.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"(a number of {value.bit_length()} bits)"


def _of_type(value: Any, bare: Any, hint: Any, key: str) -> Any:
    origin = get_origin(bare)
    if bare is Any:
        return value
    if origin is Literal:
        return value if value in get_args(bare) else _refuse(key, value, "is unknown", hint)
    if origin in {list, tuple}:
        return origin(_items(value, get_args(bare)[0], hint, key))
    if origin is dict:
        return _entries(value, hint, key)
    if bare in (int, float):
        return _number(value, bare, hint, key)
    if bare is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # `sweep_name=3`
    if bare not in (str, bool):
        raise TypeError(f"{key}: settings of type {bare} cannot be checked")
    if not isinstance(value, bare):
        _refuse(key, value, f"is not {TYPES[bare]}" if bare is str else "is unknown", hint)
    return value


def _at_home(path: str) -> str:
    """A path whose ~ no shell has replaced: none does after an equals sign."""
    with suppress(RuntimeError):  # ~ of a user who does not exist: a folder may be called so
        return str(Path(path).expanduser()) if path.startswith("~") else path
    return path


def _number(value: Any, kind: Any, hint: Any, key: str) -> Any:
    """A number, or text that is one: what `${oc.env:...}` gives. Rules see it before it is rounded to a float."""
    if isinstance(value, str):
        try:
            value = kind(value)
        except ValueError:
            _refuse(key, value, f"is not {TYPES[kind]}", hint)
    if isinstance(value, bool) or not isinstance(value, int | kind):
        _refuse(key, value, f"is not {TYPES[kind]}", hint)
    try:
        return kind(value) + 0  # -0.0 is 0.0: the same run
    except OverflowError:
        return _refuse(key, value, "is out of range", hint)


def _items(value: Any, of: Any, hint: Any, key: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        _refuse(key, value, "is not a list", hint)
    return [checked(item, of, f"{key}[{index}]") for index, item in enumerate(value)]


def _entries(value: Any, hint: Any, key: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        _refuse(key, value, "is not a mapping", hint)
    of_name, of_value = get_args(parts(hint)[0])
    return {checked(n, of_name, f"a name in {key}"): checked(v, of_value, f"{key}.{show(n)}") for n, v in value.items()}


def _refuse(key: str, value: Any, complaint: str, hint: Any) -> NoReturn:
    if isinstance(value, str) and get_origin(parts(hint)[0]) is Literal:
        near = did_you_mean(value, [str(word) for word in get_args(parts(hint)[0])])
        complaint += f"; {near.rstrip()}" if near else ""
    raise UserError(f"{key}={show(value)} {complaint}; accepted: {accepted(hint)}")
