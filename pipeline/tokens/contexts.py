"""Packing of documents into contexts of one length, each beginning with BOS."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from pipeline.config import ModelConfig
from pipeline.errors import UserError


@dataclass(frozen=True)
class Contexts:
    """Contexts of equal length, with the document that each came from (its first, where documents are joined)."""

    tokens: Int[Tensor, "n pos"]
    special: Bool[Tensor, "n pos"]
    document: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Any) -> "Contexts":
        return Contexts(self.tokens[rows], self.special[rows], self.document[rows])


class Packer:
    """Turns documents into contexts by the stated rule; short tails are dropped."""

    def __init__(self, model: ModelConfig, packing: str) -> None:
        self.tokenizer = load_tokenizer(model)
        self.context = model.context
        self.joined = packing == "concatenate"
        bos = self.tokenizer.bos_token_id
        self.bos: int = self.tokenizer.eos_token_id if bos is None else bos
        eos = self.tokenizer.eos_token_id
        self.eos: int = self.bos if eos is None else eos
        if self.bos is None:
            raise UserError(f"the tokenizer of model {model.name} has neither BOS nor EOS, which contexts begin with")
        self.special_ids = torch.tensor(sorted({*self.tokenizer.all_special_ids, self.bos, self.eos}))

    def encode(self, texts: list[str]) -> list[list[int]]:
        encoded: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return encoded

    def windows(self, texts: Iterable[str], first_document: int = 0) -> Iterator[tuple[list[int], int]]:
        """Yield (context - 1 tokens, number of the document they begin in)."""
        rest: list[int] = []
        length, owner = self.context - 1, first_document
        for number, text in enumerate(texts, first_document):
            tokens = self.encode([text])[0]
            if self.joined:
                tokens.append(self.eos)
            if not rest:
                owner = number
            rest.extend(tokens)
            start = 0
            while len(rest) - start >= length:
                yield rest[start : start + length], owner
                start, owner = start + length, number
            rest = rest[start:] if self.joined else []

    def pack(self, windows: list[tuple[list[int], int]]) -> Contexts:
        body = torch.tensor([tokens for tokens, _ in windows], dtype=torch.int64).view(len(windows), self.context - 1)
        tokens = torch.cat([torch.full((len(windows), 1), self.bos), body], dim=1)
        document = torch.tensor([number for _, number in windows], dtype=torch.int64)
        return Contexts(tokens, torch.isin(tokens, self.special_ids), document)


def load_tokenizer(model: ModelConfig) -> Any:
    """The model's fast tokenizer, from its folder or the hub."""
    from transformers import AutoTokenizer

    source = model.tokenizer_id or model.path or model.hub_id
    revision = None if model.path or model.tokenizer_id else model.revision
    try:
        return AutoTokenizer.from_pretrained(str(source), revision=revision)
    except (OSError, ValueError) as error:
        raise UserError(f"no tokenizer in {source}: {str(error).splitlines()[0]}") from error
