"""The packing loop: what a plain concatenation gives, and from every window's state the same windows again."""

import random
from itertools import chain

import pytest

from pipeline.tokens.packing import Document, PackingRule, Window

SEPARATOR = 0
RULES = [PackingRule(4, True, SEPARATOR), PackingRule(3, True), PackingRule(5, False)]


def some_documents(seed: int) -> list[Document]:
    draw = random.Random(seed)
    return [
        Document([draw.randrange(1, 50) for _ in range(draw.randrange(14))], number, draw.choice(["train", "test"]))
        for number in range(30)
    ]


def brute_force(rule: PackingRule, documents: list[Document]) -> list[list[int]]:
    """Windows of one side: documents end to end with a separator after each, or each alone; none begins with it."""
    texts = [[*document.tokens, *([SEPARATOR] if rule.separator is not None else [])] for document in documents]
    found = []
    for text in [list(chain.from_iterable(texts))] if rule.joined else texts:
        while True:
            while rule.separator is not None and text[:1] == [SEPARATOR]:
                text = text[1:]
            if len(text) < rule.length:
                break
            found.append(text[: rule.length])
            text = text[rule.length :]
    return found


def shown(windows: list[Window]) -> list[tuple[list[int], int]]:
    return [(list(window.tokens), window.owner) for window in windows]


@pytest.mark.parametrize("rule", RULES, ids=["separated", "joined", "document"])
def test_each_side_is_packed_as_if_it_were_alone(rule: PackingRule) -> None:
    for seed in range(20):
        documents = some_documents(seed)
        windows = list(rule.windows(documents))
        for side in ("train", "test"):
            of_side = [document for document in documents if document.side == side]
            assert [w.tokens for w in windows if w.document.side == side] == brute_force(rule, of_side)


@pytest.mark.parametrize("rule", RULES, ids=["separated", "joined", "document"])
def test_every_window_carries_the_state_to_go_on_from(rule: PackingRule) -> None:
    for seed in range(5):
        documents = [document for document in some_documents(seed) if document.side == "train"]
        windows = list(rule.windows(documents))
        for index, window in enumerate(windows):
            rest = documents[documents.index(window.document) :]
            again = list(rule.windows(rest, window.before))
            assert window.before.windows <= index and shown(again) == shown(windows[window.before.windows :])
