"""What settings accept: a range or a form, written next to a field's type; a set of words is a `Literal`.

    lr: Positive
    beta1: Annotated[float, Range(at_least=0, below=1)]
    precision: Literal["float32", "bfloat16"]

`pipeline.config.checked` holds values to it. Launchers' options are read at every start: nothing slow is imported here.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

LARGEST = 2**31 - 1
"""Of counts: the product of two of them, as steps times batch, stays within 64 bits."""
LARGEST_NUMBER = 1e38
"""Of other numbers: float32, in which SAEs are trained, holds nothing larger than 3.4e38."""
LONGEST_COMPONENT = 255
"""Bytes of a file's or a folder's name; what file systems allow."""


class Rule(Protocol):
    """What a value must hold to, beyond its type; `str` of it says what is accepted."""

    complaint: str

    def holds(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Range:
    """Numbers between two limits; neither nan nor an infinity is in any range."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    complaint = "is out of range"

    def holds(self, value: Any) -> bool:
        return (
            abs(value) < float("inf")  # false of nan too
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        limits = (
            ("at least", self.at_least), ("above", self.above), ("at most", self.at_most), ("below", self.below),
        )  # fmt: skip
        given = (f"{words} {limit:.12g}" for words, limit in limits if limit is not None)
        return ", ".join(given).replace("e+", "e")


@dataclass(frozen=True)
class Form:
    """Text that a regular expression matches as a whole; `words` say the same to people."""

    pattern: str
    words: str
    complaint: str

    def holds(self, value: Any) -> bool:
        return re.fullmatch(self.pattern, value, re.ASCII) is not None

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Line:
    """One line of text, not empty."""

    at_most: int = 1000
    complaint = "is not one line of text"

    def holds(self, value: Any) -> bool:
        return 0 < len(value) <= self.at_most and not any(map(is_control, value))

    def __str__(self) -> str:
        return f"one line of 1 to {self.at_most} characters"


@dataclass(frozen=True)
class PathLike:
    """A path that a file system could hold, whether or not there is anything."""

    at_most: int = 3500  # Linux allows 4095; names below it come on top
    complaint = "is not a path"

    def holds(self, value: Any) -> bool:
        if not value or any(map(is_control, value)):
            return False
        parts = value.encode().split(b"/")
        return len(value.encode()) <= self.at_most and max(map(len, parts)) <= LONGEST_COMPONENT

    def __str__(self) -> str:
        return f"a path on one line, of 1 to {self.at_most} bytes and names of at most {LONGEST_COMPONENT}"


@dataclass(frozen=True)
class Scalar:
    """One value of any type, as for an option of another program."""

    complaint = "is not one value"

    def holds(self, value: Any) -> bool:
        if isinstance(value, str):
            return Line().holds(value)
        return value is None or isinstance(value, bool) or (isinstance(value, int | float) and Range().holds(value))

    def __str__(self) -> str:
        return "a finite number, true, false, null, or one line of text"


@dataclass(frozen=True)
class Not:
    """Any text but a few words, in capitals or not: some file systems do not tell them apart."""

    words: tuple[str, ...]
    complaint = "is reserved"

    def holds(self, value: Any) -> bool:
        return value.lower() not in self.words

    def __str__(self) -> str:
        return f"any name but {' and '.join(self.words)}"


def is_control(character: str) -> bool:
    """Whether it breaks or garbles a line: a control character, a separator of lines, half of a surrogate pair."""
    return unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"}


NAME = Form(
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}",
    "1 to 100 letters (a-z, A-Z), digits, dots, hyphens and underscores, not beginning with . or -",
    "is not a name",
)
"""Whatever becomes part of a path."""

Name = Annotated[str, NAME]
Text = Annotated[str, Line()]
FilePath = Annotated[str, PathLike()]
Count = Annotated[int, Range(at_least=1, at_most=LARGEST)]
CountOrZero = Annotated[int, Range(at_least=0, at_most=LARGEST)]
AtOnce = Annotated[int, Range(at_least=1, at_most=4096)]
"""Threads, processes, cores."""
Positive = Annotated[float, Range(above=0, at_most=LARGEST_NUMBER)]
NotNegative = Annotated[float, Range(at_least=0, at_most=LARGEST_NUMBER)]
Seconds = Annotated[float, Range(above=0, at_most=86400)]
Expansion = Annotated[float, Range(above=0, at_most=1e6)]
"""d_sae / d_in"""
