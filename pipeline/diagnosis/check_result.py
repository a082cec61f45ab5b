"""One thing that a check has to say."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "problem"]


@dataclass(frozen=True)
class CheckResult:
    """One line: what is, why it matters, what to do."""

    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level:8} {self.text}"
