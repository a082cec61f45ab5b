"""Where training contexts come from: text held in memory in a seeded order, or a stream in its own order."""

import copy
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.config import DataConfig, ModelConfig
from pipeline.errors import UserError
from pipeline.tokens import text
from pipeline.tokens.contexts import Contexts, Packer

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

    def __init__(self, stream: Any, packer: Packer, column: str, origin: str) -> None:
        self.stream, self.packer, self.column, self.origin = stream, packer, column, origin
        start = {
            "number": 0,
            "document": 0,
            "rest": [],
            "owner": 0,
            "origin": origin,
        }  # owner: the document that the rest begins in
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

    def _read_on(self, position: dict[str, Any]) -> Iterator[tuple[list[int], int]]:
        """Windows from a position on; the position is renewed before each document."""
        self.stream.load_state_dict(position["stream"])
        number, document, rest, owner = (position[key] for key in ("number", "document", "rest", "owner"))
        length = self.packer.context - 1
        for row in self.stream:
            owner = owner if rest else document
            rest.extend(self.packer.encode([row[self.column]])[0])
            if self.packer.joined:
                rest.append(self.packer.eos)
            start = 0
            while len(rest) - start >= length:
                number += 1
                yield rest[start : start + length], owner
                start, owner = start + length, document
            rest, document = rest[start:] if self.packer.joined else [], document + 1
            kept = {"number": number, "document": document, "rest": list(rest), "owner": owner, "origin": self.origin}
            self._position = kept | {"stream": copy.deepcopy(self.stream.state_dict())}


def permutation(n: int, *key: int) -> Int[Tensor, " n"]:
    """The order that a key stands for; hashed, because torch's CPU generator reads only the low 32 bits of a seed."""
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "big")
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def training_contexts(model: ModelConfig, data: DataConfig, seed: int) -> ContextSource:
    """The training text of a (model, data) pair in the order that a stream's seed gives."""
    if data.source == "hub":
        stream, packer = text.streamed(data, "train"), Packer(model, data.packing)
        return ContextsStreamed(stream, packer, data.text_column, text.origin(data))
    return ContextsInMemory(_packed(model, data, "train"), seed)


def calibration_contexts(model: ModelConfig, data: DataConfig, count: int) -> Contexts:
    """Training contexts that set the input scale and the means: the same for every seed."""
    return training_contexts(model, data, FIXED_ORDER).read(0, count)


def evaluation_contexts(model: ModelConfig, data: DataConfig, count: int) -> Contexts:
    """Held-out contexts, the same for every run.

    Raises:
        UserError: the held-out text is too short.
    """
    if data.source == "hub":
        packer = Packer(model, data.packing)
        rows = (row[data.text_column] for row in text.streamed(data, "evaluation"))
        held_out = packer.pack(list(packer.windows(rows)))
    else:
        held_out = _packed(model, data, "evaluation")
    if len(held_out) < count:
        raise UserError(f"eval.sequences={count}, but the held-out text of {data.name} fills {len(held_out)} contexts")
    return held_out[permutation(len(held_out), FIXED_ORDER)[:count]]


@lru_cache(maxsize=2)
def _packed(model: ModelConfig, data: DataConfig, split: text.Split) -> Contexts:
    packer = Packer(model, data.packing)
    contexts = packer.pack(list(packer.windows(text.documents(data, split))))
    if not len(contexts):
        raise UserError(f"the {split} text of data={data.name} is shorter than one context")
    return contexts
