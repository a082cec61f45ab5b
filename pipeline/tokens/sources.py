"""Training and held-out contexts: of text in memory, in a seeded order, or of a stream, in its own order."""

import copy
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.config.schema import DataConfig, ModelConfig
from pipeline.errors import UserError
from pipeline.tokens import text
from pipeline.tokens.contexts import Collected, Contexts, Packer
from pipeline.tokens.local import Counts, is_blank
from pipeline.tokens.packing import Document, PackingState, Window
from pipeline.tokens.tables import Content, columns_to_read, content

FIXED_ORDER = 20240424
"""Seed of the order of evaluation and calibration contexts: the same for every run."""


class ContextSource(Protocol):
    """Training contexts, numbered from 0 without end; a number always stands for the same context."""

    contexts_per_epoch: int | None

    def read(self, first: int, count: int) -> Contexts: ...

    def position(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a later process need not read a stream from its beginning."""
        ...

    def restore(self, position: dict[str, Any]) -> None: ...


class ContextsInMemory:
    """Every epoch is a new seeded permutation of all contexts."""

    def __init__(self, contexts: Contexts, seed: int) -> None:
        self.contexts, self.seed = contexts, seed
        self.contexts_per_epoch: int | None = len(contexts)

    def read(self, first: int, count: int) -> Contexts:
        n = len(self.contexts)
        epochs = range(first // n, (first + count - 1) // n + 1)
        order = torch.cat([permutation(n, self.seed, epoch) for epoch in epochs])
        start = first - epochs[0] * n
        return self.contexts[order[start : start + count]]

    def position(self) -> dict[str, Any]:
        return {}

    def restore(self, position: dict[str, Any]) -> None:
        """Nothing to do: any context can be read at any time."""


class ContextsStreamed:
    """Contexts of a streamed dataset, in its own order."""

    contexts_per_epoch: int | None = None

    def __init__(self, stream: Any, packer: Packer, data: DataConfig) -> None:
        self.stream, self.packer, self.data = stream, packer, data
        self.column, self.origin = columns_to_read(data)[0], text.origin(data)
        start = {"number": 0, "document": 0, "skipped": 0, "rest": [], "owner": 0, "origin": self.origin}
        self._start = start | {"stream": copy.deepcopy(stream.state_dict())}
        self.restore(self._start)

    def restore(self, position: dict[str, Any]) -> None:
        """Go to a position. If it was saved from another copy of the text, start from the beginning."""
        if position.get("origin", "hub") != self.origin:
            position = self._start
        self._position = copy.deepcopy(position)
        self._next = int(position["number"])
        state = PackingState(position["rest"], int(position["owner"]), self._next)
        self._windows = self.packer.rule.windows(self._documents(copy.deepcopy(position)), state)

    def position(self) -> dict[str, Any]:
        return copy.deepcopy(self._position)

    def read(self, first: int, count: int) -> Contexts:
        if first < self._next:
            self.restore(self._position if self._position["number"] <= first else self._start)
        try:
            windows = self._take(first, count)
        except Exception:
            self.restore(self._position)  # a generator that raised is at its end: that would look like the dataset's
            raise
        if len(windows) < count:
            end = self._next
            self.restore(self._position)
            raise UserError(f"the dataset ended at context {end}: expected fewer steps, or more text")
        self._position = self._before(windows[-1])
        return self.packer.contexts(windows)

    def _take(self, first: int, count: int) -> list[Window]:
        """The windows of these contexts; fewer where the dataset ends."""
        taken: list[Window] = []
        for window in islice(self._windows, first + count - self._next):
            self._next += 1
            if self._next > first:
                taken.append(window)
        return taken

    def _documents(self, position: dict[str, Any]) -> Iterator[Document]:
        """Documents from a position on, each with the source's position before it. Their numbers count all rows."""
        source = {key: position[key] for key in ("document", "skipped", "stream")}
        self.stream.load_state_dict(copy.deepcopy(source["stream"]))
        for row in self.stream:
            number, skipped = int(source["document"]), int(source["skipped"])
            found = content(row[self.column], self.data, f"data={self.data.name}")
            if found is None or is_blank(found):
                skipped += 1
            else:
                yield Document(self.packer.encode(found), number, source=source)
            source = {"document": number + 1, "skipped": skipped, "stream": copy.deepcopy(self.stream.state_dict())}

    def _before(self, window: Window) -> dict[str, Any]:
        """The position before the document that completes a window."""
        state = window.before
        packing = {"number": state.windows, "rest": list(state.rest), "owner": state.owner, "origin": self.origin}
        return packing | dict(window.document.source)


def permutation(n: int, *key: int) -> Int[Tensor, " n"]:
    """A random order, from a key; hashed, because torch's CPU generator reads only the low 32 bits of a seed."""
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "big")
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def training_contexts(model: ModelConfig, data: DataConfig, seed: int) -> ContextSource:
    """The training contexts of a (model, data) pair, in the order of a stream's seed."""
    if data.source == "hub":
        return ContextsStreamed(text.streamed(data), packer(model, data), data)
    return ContextsInMemory(_filled(model, data, "train"), seed)


def calibration_contexts(model: ModelConfig, data: DataConfig, count: int) -> Contexts:
    """Training contexts from which scale and mean are estimated: the same for every seed."""
    return training_contexts(model, data, FIXED_ORDER).read(0, count)


def evaluation_contexts(model: ModelConfig, data: DataConfig, count: int, split: text.HeldOut = "test") -> Contexts:
    """Held-out contexts, the same for every run.

    Raises:
        UserError: the text of that side is too short.
    """
    if data.source == "hub":
        held_out = packer(model, data).pack(text.held_out_of_stream(data, split))
    else:
        held_out = _filled(model, data, split)
    if len(held_out) < count:
        more = "; data.evaluation_documents says how many documents that is" if data.source == "hub" else ""
        raise UserError(
            f"eval.sequences={count}, but the {text.NAMES[split]} of {data.name} fills {len(held_out)} contexts{more}"
        )
    return held_out[permutation(len(held_out), FIXED_ORDER)[:count]]


def text_facts(model: ModelConfig, data: DataConfig) -> dict[str, int]:
    """For the record of a run on local text: documents read, copies among them, rows skipped; otherwise empty."""
    return asdict(_packed(model, data).counts) if data.path else {}


def packer(model: ModelConfig, data: DataConfig) -> Packer:
    """The packer for the model's tokenizer and the packing of the text."""
    return Packer(model, data.packing, data.separator)


@dataclass(frozen=True)
class _Packed:
    sides: dict[text.Split, Contexts]
    counts: Counts


@lru_cache(maxsize=1)
def _packed(model: ModelConfig, data: DataConfig) -> _Packed:
    """All text that is not streamed, read once."""
    pack, counts = packer(model, data), Counts()
    collected: dict[str, Collected] = {side: Collected(pack) for side in text.SIDES}
    for window in pack.rule.windows(_numbered(pack, text.sides(data, counts))):
        collected[window.document.side].add(window)
    return _Packed({side: collected[side].contexts() for side in text.SIDES}, counts)


def _numbered(pack: Packer, documents: Iterator[tuple[text.Split, Content]]) -> Iterator[Document]:
    """Documents of all sides as tokens, numbered on each side."""
    numbers: Counter[str] = Counter()
    for side, document in documents:
        yield Document(pack.encode(document), numbers[side], side)
        numbers[side] += 1


def _filled(model: ModelConfig, data: DataConfig, side: text.Split) -> Contexts:
    contexts = _packed(model, data).sides[side]
    if not len(contexts):
        raise UserError(f"the {text.NAMES[side]} of data={data.name} is shorter than one context")
    return contexts
