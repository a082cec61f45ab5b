"""Contexts of one length, each beginning with BOS, and the tokenizer."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from pipeline.config.model_shape import embedding_rows
from pipeline.config.schema import ModelConfig
from pipeline.errors import UserError
from pipeline.runtime.hub import hub_or_cache, no_hub, quiet, shown
from pipeline.tokens.packing import Document, PackingRule, Window
from pipeline.tokens.tables import Content

WINDOWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Contexts:
    """Contexts of equal length, with the number of the document that each begins in."""

    tokens: Int[Tensor, "n pos"]
    special: Bool[Tensor, "n pos"]
    document: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Any) -> "Contexts":
        return Contexts(self.tokens[rows], self.special[rows], self.document[rows])


class Packer:
    """Turns documents into contexts of `model.context` tokens, with the model's tokenizer.

    Args:
        packing: document, or concatenate, which joins documents with `separator`: bos, eos or none.
    """

    def __init__(self, model: ModelConfig, packing: str, separator: str = "bos") -> None:
        self.model_name = model.name
        self.tokenizer = load_tokenizer(model)
        self.vocabulary = len(self.tokenizer)
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        self.bos: int = eos if bos is None else bos
        self.eos: int = self.bos if eos is None else eos
        joined = packing == "concatenate"
        between = {"bos": self.bos, "eos": self.eos, "none": None}[separator] if joined else None
        self.rule = PackingRule(model.context - 1, joined, between)
        self.rows = embedding_rows(model)
        self.special_ids = torch.tensor(sorted({*self.tokenizer.all_special_ids, self.bos, self.eos}))

    def encode(self, document: Content) -> list[int]:
        """A document's tokens, without special ones around them.

        Raises:
            UserError: the document is token ids, and not of this tokenizer.
        """
        if isinstance(document, str):
            encoded: list[int] = self.tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"]
            return encoded
        if not all(0 <= token < self.vocabulary for token in document):
            wrong = next(token for token in document if not 0 <= token < self.vocabulary)
            raise UserError(
                f"data.token_column holds the token id {wrong}, expected ids of the tokenizer of model "
                f"{self.model_name}: 0 to {self.vocabulary - 1}"
            )
        return document[document[0] == self.bos : len(document) - (document[-1] in {self.bos, self.eos})]

    def pack(self, documents: Iterable[Content]) -> Contexts:
        """Contexts of these documents, numbered from 0."""
        numbered = (Document(self.encode(document), number) for number, document in enumerate(documents))
        return self.contexts(self.rule.windows(numbered))

    def contexts(self, windows: Iterable[Window]) -> Contexts:
        """Each window after BOS."""
        collected = Collected(self)
        for window in windows:
            collected.add(window)
        return collected.contexts()

    def part(self, windows: Sequence[Window]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [n, pos], whether they are special [n, pos], and the numbers of documents [n]."""
        body = torch.tensor([window.tokens for window in windows], dtype=torch.int64)
        body = body.view(len(windows), self.rule.length)
        tokens = torch.cat([torch.full((len(windows), 1), self.bos), body], dim=1)
        if self.rows is not None and len(tokens) and int(tokens.max()) >= self.rows:
            token = self.tokenizer.convert_ids_to_tokens(int(tokens.max()))
            raise UserError(
                f"the text holds {token}, token {int(tokens.max())}, but the embedding has {self.rows} rows"
            )
        document = torch.tensor([window.owner for window in windows], dtype=torch.int64)
        return tokens, torch.isin(tokens, self.special_ids), document


class Collected:
    """Collects windows as contexts. Many at a time become tensors, which take a quarter of the memory of lists."""

    def __init__(self, packer: Packer) -> None:
        self.packer, self.parts, self.waiting = packer, [packer.part([])], list[Window]()

    def add(self, window: Window) -> None:
        self.waiting.append(window)
        if len(self.waiting) >= WINDOWS_AT_A_TIME:
            self.parts.append(self.packer.part(self.waiting))
            self.waiting = []

    def contexts(self) -> Contexts:
        tokens, special, document = zip(*self.parts, self.packer.part(self.waiting), strict=True)
        return Contexts(torch.cat(tokens), torch.cat(special), torch.cat(document))


def load_tokenizer(model: ModelConfig) -> Any:
    """The model's tokenizer, from its folder or the hub; code that comes with one is never run.

    Raises:
        UserError: there is none, it has tokens that the model's embedding has no row for, or neither BOS nor EOS.
    """
    from transformers import AutoTokenizer

    quiet()
    source = str(model.tokenizer_id or model.path or model.hub_id)
    revision = None if model.path or model.tokenizer_id else model.revision
    with nullcontext(True) if Path(source).is_dir() else hub_or_cache() as reached:
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
        except Exception as error:  # whatever the libraries raise is about the files
            why = f"no tokenizer in {source} that can be loaded: {shown(error)}" if reached else no_hub(source)
            raise UserError(why) from error
    if tokenizer.is_fast:
        check_vocabulary(tokenizer.backend_tokenizer, source, embedding_rows(model))
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer of model {model.name} has neither BOS nor EOS, which contexts begin with")
    return tokenizer


def check_vocabulary(tokenizer: Any, source: str, rows: int | None) -> None:
    """Refuse an empty tokenizer, which transformers returns if there are no files, or one with too many tokens.

    Special tokens beyond the embedding are accepted: Gemma 3 has one, which stands for images.

    Args:
        tokenizer: of the tokenizers library.
        rows: of the model's embedding, where known.
    """
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    ids = [number for token, number in tokenizer.get_vocab().items() if token not in special]
    if not ids:
        raise UserError(f"no tokenizer in {source}: expected tokenizer.json, or the files of an older tokenizer")
    if rows is not None and max(ids) >= rows:
        raise UserError(f"the tokenizer in {source} has {max(ids) + 1} tokens, but the model's embedding {rows} rows")
