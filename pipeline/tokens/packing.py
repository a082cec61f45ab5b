"""The packing loop: documents in, windows out. A window is the tokens that follow BOS in a context."""

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Document:
    """A document's tokens, without special ones around them."""

    tokens: Sequence[int]
    number: int
    side: str = ""  # documents of each side are packed apart from the others
    source: Mapping[str, Any] = field(default_factory=dict)  # where its source stands before it


@dataclass(frozen=True)
class PackingState:
    """Where packing stands between two documents: with the source's position, all that is needed to go on."""

    rest: Sequence[int] = ()  # tokens that fill no window yet
    owner: int = 0  # number of the document that they begin in
    windows: int = 0  # so far


@dataclass(frozen=True)
class Window:
    """Tokens of one context after BOS, with the state from which they can be packed again."""

    tokens: Sequence[int]
    owner: int  # number of the document that they begin in
    document: Document  # which completes them
    before: PackingState  # before that document


@dataclass(frozen=True)
class PackingRule:
    """How documents become windows. No window begins with the separator: BOS stands there."""

    length: int  # tokens in a window: one less than in a context
    joined: bool  # windows go on into the next document; otherwise each stays inside one, and short tails are dropped
    separator: int | None = None  # token after each joined document

    def windows(self, documents: Iterable[Document], start: PackingState | None = None) -> Iterator[Window]:
        """Pack documents as they come.

        Args:
            start: the state that each side begins with.
        """
        states: dict[str, PackingState] = defaultdict(lambda: start or PackingState())
        for document in documents:
            states[document.side] = yield from self._cut(states[document.side], document)

    def _cut(self, before: PackingState, document: Document) -> Generator[Window, None, PackingState]:
        """Yield the windows that a document completes; return the state after it."""
        owner, count = before.owner if before.rest else document.number, before.windows
        tokens = [*before.rest, *document.tokens]
        if self.separator is not None:
            tokens.append(self.separator)
        start = self._past_separators(tokens, 0)
        while len(tokens) - start >= self.length:
            yield Window(tokens[start : start + self.length], owner, document, before)
            start, owner, count = self._past_separators(tokens, start + self.length), document.number, count + 1
        return PackingState(tokens[start:] if self.joined else (), owner, count)

    def _past_separators(self, tokens: Sequence[int], start: int) -> int:
        while self.separator is not None and start < len(tokens) and tokens[start] == self.separator:
            start += 1
        return start
