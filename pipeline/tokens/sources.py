"""Where training contexts come from: text held in memory in a seeded order, or a stream in its own order."""

import copy
import hashlib
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
from pipeline.tokens.contexts import Collected, Contexts, Packer, Window, Windows
from pipeline.tokens.local import Counts, is_blank
from pipeline.tokens.tables import content, wanted_columns

FIXED_ORDER = 20240424
"""Seed of the order in which evaluation and calibration contexts are taken: the same for every run."""


class ContextSource(Protocol):
    """Training contexts, numbered from 0 without end; a number is always the same context."""

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
        """Nothing to do: any context is at hand."""


class ContextsStreamed:
    """Contexts of a streamed dataset, in its own order."""

    contexts_per_epoch: int | None = None

    def __init__(self, stream: Any, packer: Packer, data: DataConfig) -> None:
        self.stream, self.packer, self.data = stream, packer, data
        self.column, self.origin = wanted_columns(data)[0], text.origin(data)
        start = {"number": 0, "document": 0, "skipped": 0, "rest": [], "owner": 0, "origin": self.origin}
        self._start = start | {"stream": copy.deepcopy(stream.state_dict())}
        self.restore(self._start)

    def restore(self, position: dict[str, Any]) -> None:
        """Go to a position; one that was taken elsewhere is found again from the beginning."""
        if position.get("origin", "hub") != self.origin:
            position = self._start
        self._position = copy.deepcopy(position)
        self._next = int(position["number"])
        self._windows = self._read_on(copy.deepcopy(position))

    def position(self) -> dict[str, Any]:
        return copy.deepcopy(self._position)

    def read(self, first: int, count: int) -> Contexts:
        if first < self._next:
            self.restore(self._position if self._position["number"] <= first else self._start)
        try:
            windows = list(islice(self._windows, first - self._next, first - self._next + count))
        except Exception:
            self.restore(self._position)  # what raises is at its end: it would look like the dataset's
            raise
        if len(windows) < count:
            self.restore(self._position)
            raise UserError(f"the dataset ended at context {self._next}: fewer steps, or more text")
        self._next = first + count
        return self.packer.pack(windows)

    def _read_on(self, position: dict[str, Any]) -> Iterator[Window]:
        """Windows from a position on; the position is renewed before each document."""
        self.stream.load_state_dict(position["stream"])
        number, document, skipped = (int(position[key]) for key in ("number", "document", "skipped"))
        windows = Windows(self.packer, position["rest"], position["owner"])
        for row in self.stream:
            found = content(row[self.column], self.data, f"data={self.data.name}")
            if found is None or is_blank(found):
                skipped += 1
            else:
                for window in windows.add(self.packer.encode(found), document):
                    number += 1
                    yield window
            document += 1
            kept = {"number": number, "document": document, "rest": list(windows.rest), "owner": windows.owner}
            kept |= {"skipped": skipped, "origin": self.origin}
            self._position = kept | {"stream": copy.deepcopy(self.stream.state_dict())}


def permutation(n: int, *key: int) -> Int[Tensor, " n"]:
    """The order that a key stands for; hashed, because torch's CPU generator reads only the low 32 bits of a seed."""
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "big")
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def training_contexts(model: ModelConfig, data: DataConfig, seed: int) -> ContextSource:
    """The training text of a (model, data) pair in the order that a stream's seed gives."""
    if data.source == "hub":
        return ContextsStreamed(text.streamed(data), packer(model, data), data)
    return ContextsInMemory(_filled(model, data, "train"), seed)


def calibration_contexts(model: ModelConfig, data: DataConfig, count: int) -> Contexts:
    """Training contexts that set the input scale and the means: the same for every seed."""
    return training_contexts(model, data, FIXED_ORDER).read(0, count)


def evaluation_contexts(model: ModelConfig, data: DataConfig, count: int, split: text.HeldOut = "test") -> Contexts:
    """Held-out contexts, the same for every run.

    Raises:
        UserError: the text of that side is too short.
    """
    if data.source == "hub":
        pack = packer(model, data)
        held_out = pack.pack(pack.windows(text.held_out_of_stream(data, split)))
    else:
        held_out = _filled(model, data, split)
    if len(held_out) < count:
        more = "; data.evaluation_documents says how many documents that is" if data.source == "hub" else ""
        raise UserError(
            f"eval.sequences={count}, but the {text.NAMES[split]} of {data.name} fills {len(held_out)} contexts{more}"
        )
    return held_out[permutation(len(held_out), FIXED_ORDER)[:count]]


def text_facts(model: ModelConfig, data: DataConfig) -> dict[str, int]:
    """What a record says of local text: documents read, copies among them, and what was skipped; else nothing."""
    return asdict(_packed(model, data).counts) if data.path else {}


def packer(model: ModelConfig, data: DataConfig) -> Packer:
    return Packer(model, data.packing, data.separator)


@dataclass(frozen=True)
class _Packed:
    sides: dict[text.Split, Contexts]
    counts: Counts


@lru_cache(maxsize=1)
def _packed(model: ModelConfig, data: DataConfig) -> _Packed:
    """All text that is not streamed, read once."""
    pack, counts = packer(model, data), Counts()
    cutters = {side: Windows(pack) for side in text.SIDES}
    numbers = dict.fromkeys(text.SIDES, 0)
    contexts = {side: Collected(pack) for side in text.SIDES}
    for side, document in text.sides(data, counts):
        contexts[side].extend(cutters[side].add(pack.encode(document), numbers[side]))
        numbers[side] += 1
    return _Packed({side: collected.contexts() for side, collected in contexts.items()}, counts)


def _filled(model: ModelConfig, data: DataConfig, side: text.Split) -> Contexts:
    contexts = _packed(model, data).sides[side]
    if not len(contexts):
        raise UserError(f"the {text.NAMES[side]} of data={data.name} is shorter than one context")
    return contexts
