"""The parser of the small commands: a table of keys gives the help and the checks."""

import re
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from pipeline import clean, doctor, status
from pipeline.cli.options import folder, one_of, option, parse, seconds, true_or_false, usage, whole_number
from pipeline.errors import UserError
from pipeline.report import options as plot_pareto


@dataclass(frozen=True)
class Table:
    name: str | None = option("NAME", "a name")
    kind: str = option("KIND", "a kind", one_of(("red", "green")), "red")
    wait: float = option("SECONDS", "words " * 40, seconds, 2.5)
    count: int = option("N", "a count", whole_number, 7)
    loud: bool = option("true", "louder", true_or_false, default=False)
    place: Path = option("FOLDER", "a place", folder, Path("nowhere"))


def test_values_are_typed_and_defaults_stand() -> None:
    assert parse(Table, []) == Table(None, "red", 2.5, 7, False, Path("nowhere"))
    given = ["wait=0.5", "name=a=b", "loud=true", "kind=green", "count=0", "place=/"]
    assert parse(Table, given) == Table("a=b", "green", 0.5, 0, True, Path("/"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nmae=a"], "nmae is unknown; did you mean name?"), (["name"], "name has no value: expected name=..."),
        (["name=a", "name=b"], "name is given twice"), (["kind=gren"], "kind=gren is unknown; did you mean green?"),
        (["wait=0"], "wait=0 is not a number of seconds above 0"), (["count=-1"], "count=-1 is not a whole number"),
        (["loud=yes"], "loud=yes is neither true nor false"), (["place=/none"], "place=/none is not a folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(arguments: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(Table, arguments)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_help_is_the_table() -> None:
    lines = usage("clean", "What it does.", Table).splitlines()
    assert lines[0].endswith("clean.py [name=NAME] [kind=KIND] [wait=SECONDS] [count=N] [loud=true] [place=FOLDER]")
    assert lines[1:5] == ["", "What it does.", "", "  name=NAME     a name"]
    assert lines[6].startswith("  wait=SECONDS  words") and lines[7].startswith(" " * 16 + "words")
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("door", [clean, doctor, status, plot_pareto], ids=lambda door: door.__name__)
def test_every_door_lists_its_keys_and_no_other(door: object) -> None:
    listed = re.findall(r"^  (\w+)=\S+  ", door.USAGE, re.MULTILINE)  # type: ignore[attr-defined]
    assert listed == [field.name for field in fields(door.Options)]  # type: ignore[attr-defined]
