"""What a reader must know of the runs themselves before any verdict: what is lost, unfinished, or not trained alike."""

from collections.abc import Iterator

from pipeline.comparison.compare import AS_TRAINED
from pipeline.comparison.declared import mixed
from pipeline.comparison.findings import Findings
from pipeline.comparison.questions import DIRECTION, other_tokens
from pipeline.comparison.shown import arms, place, row_of


def cautions(found: Findings) -> list[str]:
    """A line for each."""
    return [*_lost(found), *_unfinished(found), *_tokens(found), *mixtures(found)]


def _lost(found: Findings) -> Iterator[str]:
    for one in found.compared:
        for pair, why in one.lost:
            yield f"{place(one.panel.key, found.runs)}: {arms(row_of(one.panel, pair))} are not judged: {why}."


def _unfinished(found: Findings) -> Iterator[str]:
    for one in found.compared:
        yield from (f"{place(one.panel.key, found.runs)}: {said}." for said in one.unfinished.values())


def _tokens(found: Findings) -> Iterator[str]:
    for answer in found.answers:
        if answer.question == DIRECTION and answer.scenario == AS_TRAINED and answer.unlike:
            where = f"{place(answer.panel.key, found.runs)}, {arms(row_of(answer.panel, answer.pair))}"
            yield f"{where}: {other_tokens(answer)}: not judged."


def mixtures(found: Findings) -> list[str]:
    """A line for each arm whose front joins points that differ in more than its axis."""
    lines = []
    for one in found.compared:
        where = place(one.panel.key, found.runs)
        lines += [f"{where}: {said}" for said in mixed(one.panel.runs)]
    return lines
