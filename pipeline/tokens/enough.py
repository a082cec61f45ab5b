"""Checks before anything is loaded that there is enough text to train on and for eval.sequences."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.config.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from pipeline.errors import UserError
from pipeline.tokens import text
from pipeline.tokens.contexts import Packer
from pipeline.tokens.local import Counts, local_documents
from pipeline.tokens.packing import Document
from pipeline.tokens.sources import packer
from pipeline.tokens.tables import Content

HELD_OUT_AT_MOST = 50
"""Percent of the documents that a suggestion holds out."""


def check_text(runs: Sequence[RunConfig]) -> list[str]:
    """Read all local text of these runs; return notes on it, one line each.

    Raises:
        UserError: it cannot be read, or does not suffice; the message has settings that would work.
    """
    different = {(run.model, run.data, run.eval.split, run.eval.sequences, run.eval.batch): run for run in runs}
    return list(dict.fromkeys(note for run in different.values() for note in _check(run)))


def _check(run: RunConfig) -> list[str]:
    if run.data.source == "hub":
        held = f"the {text.NAMES[run.eval.split]} among its first {run.data.evaluation_documents:,} documents fills "
        held += f"eval.sequences={run.eval.sequences}"
        return [f"data={run.data.name} is streamed: whether {held} is seen when they are read"]
    counts = Counts()
    if not _has_words(run, counts):
        lengths = Lengths.of(run.model, run.data)
        if not lengths.suffice(run.eval, run.data.evaluation_fraction):
            raise UserError(_what_would_work(run, lengths, counts))
    return counts.notes(run.data.name)


def _has_words(run: RunConfig, counts: Counts) -> bool:
    """Whether there would be enough contexts if each word were one token: then no tokenizer is needed, except for ids.

    All documents are read, so that an unreadable one is reported now.
    """
    length, joined = run.model.context - 1, run.data.packing == "concatenate"
    pack = packer(run.model, run.data) if run.data.token_column else None  # of text, words are counted
    contexts = dict.fromkeys(text.SIDES, 0.0)
    for side, document in text.sides(run.data, counts):
        words = len(pack.encode(document)) if pack else len(str(document).split())
        contexts[side] += words / length if joined else words // length
    return contexts[run.eval.split] >= run.eval.sequences and contexts["train"] >= 1


@dataclass(frozen=True)
class Lengths:
    """Lengths of the documents, from which the number of contexts follows."""

    documents: list[tuple[float | text.Split, int]]  # place of a local one, else side; number of tokens
    data: DataConfig
    packer: Packer

    @classmethod
    def of(cls, model: ModelConfig, data: DataConfig) -> "Lengths":
        pack = packer(model, data)
        placed: Iterator[tuple[float | text.Split, Content]] = (
            ((document.place, document.content) for document in local_documents(data))
            if data.source != "bundled"
            else text.sides(data)
        )
        return cls([(place, len(pack.encode(document))) for place, document in placed], data, pack)

    def contexts(self, fraction: float) -> dict[text.Split, int]:
        """How many contexts each side would fill if this share of local documents were held out."""
        data = replace(self.data, evaluation_fraction=fraction)
        documents = (
            Document([-1] * tokens, 0, place if isinstance(place, str) else text.side_of_place(place, data))
            for place, tokens in self.documents
        )
        count = Counter(window.document.side for window in self.packer.rule.windows(documents))
        return {side: count[side] for side in text.SIDES}

    def suffice(self, evaluation: EvalConfig, fraction: float) -> bool:
        count = self.contexts(fraction)
        return count[evaluation.split] >= evaluation.sequences and count["train"] >= 1


def _what_would_work(run: RunConfig, lengths: Lengths, counts: Counts) -> str:
    count = lengths.contexts(run.data.evaluation_fraction)
    named = f"data.path={run.data.path}" if run.data.path else f"data={run.data.name}"
    if run.data.path and counts.documents - counts.copies < 2:
        what = f"{named} holds {_number_of(counts)}, and training and held-out text are split by document"
    elif count["train"]:
        side = run.eval.split
        what = (
            f"eval.sequences={run.eval.sequences}, but the {text.NAMES[side]} of {named} fills {count[side]} contexts"
        )
        what += f" of {run.model.context} tokens"
    else:
        what = f"the training text of {named} is shorter than one context of {run.model.context} tokens"
    ways = list(_ways(run, lengths))
    return f"{what}: {' or '.join(ways) if ways else 'more text is needed'}"


def _number_of(counts: Counts) -> str:
    if counts.documents:
        return f"{counts.documents} copies of one document" if counts.copies else "one document"
    skipped = counts.rows_without_text
    return f"no document with text in it{f' (rows without a value: {skipped:,})' if skipped else ''}"


def _ways(run: RunConfig, lengths: Lengths) -> Iterator[str]:
    """Settings with which the same command would work."""
    held = _held_out(run, lengths)
    if held:
        yield _fewer_sequences(run, held)
    if run.data.source == "bundled":
        return
    fraction = _larger_fraction(run, lengths)
    if fraction:
        yield f"data.evaluation_fraction={fraction:g}"
    if run.data.source == "files" and run.data.split_documents == "none":
        cut = Lengths.of(run.model, replace(run.data, split_documents="blank_line"))
        held_if_cut = _held_out(run, cut)
        if held_if_cut >= run.eval.sequences:
            yield "data.split_documents=blank_line"
        elif held_if_cut // run.eval.batch > held // run.eval.batch or held_if_cut > held == 0:
            yield f"data.split_documents=blank_line with {_fewer_sequences(run, held_if_cut)}"


def _held_out(run: RunConfig, lengths: Lengths) -> int:
    """Contexts to evaluate on; 0 if nothing is left to train on."""
    count = lengths.contexts(run.data.evaluation_fraction)
    return count[run.eval.split] if count["train"] else 0


def _fewer_sequences(run: RunConfig, held: int) -> str:
    whole = held // run.eval.batch * run.eval.batch
    return f"eval.sequences={whole}" if whole else f"eval.sequences={held} with eval.batch={held}"


def _larger_fraction(run: RunConfig, lengths: Lengths) -> float | None:
    """The smallest, in percent, that holds out enough."""
    low, high = 0, HELD_OUT_AT_MOST + 1
    while high - low > 1:
        middle = (low + high) // 2
        enough = lengths.contexts(middle / 100)[run.eval.split] >= run.eval.sequences
        low, high = (low, middle) if enough else (middle, high)
    return high / 100 if high <= HELD_OUT_AT_MOST and lengths.suffice(run.eval, high / 100) else None
