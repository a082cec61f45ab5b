"""What a check is, and what it has to say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Level = Literal["ok", "warn", "problem"]
Facts = TypeVar("Facts")


@dataclass(frozen=True)
class CheckResult:
    """One line: what is, why it matters, what to do."""

    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level:8} {self.text}"


def _always(_: object) -> bool:
    return True


@dataclass(frozen=True)
class Case(Generic[Facts]):
    """A row of a check: what it says where `when` is true of the facts.

    Attributes:
        text: a format string; `{f.name}` is the fact `name`.
    """

    level: Level
    text: str
    when: Callable[[Facts], bool] = _always


def judge(check: Sequence[Case[Facts]], facts: Facts) -> CheckResult:
    """The result of a check: its first case that applies; the last applies always."""
    case = next(case for case in check if case.when(facts))
    return CheckResult(case.level, case.text.format(f=facts))
