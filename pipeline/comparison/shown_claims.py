"""The claims as tables of words: verdicts as trained and pruned side by side, and what every site says to them."""

from collections.abc import Mapping, Sequence

from pipeline.comparison import claims
from pipeline.comparison.claims import Claim
from pipeline.comparison.compare import AS_TRAINED
from pipeline.comparison.direction import UNDECIDED
from pipeline.comparison.findings import Findings
from pipeline.comparison.questions import DIRECTION, NOT_JUDGED, Answer
from pipeline.comparison.shown import Shown, key, named, row_of, shown


def verdicts(found: Findings) -> Shown:
    """A row a claim: what is said of it, as trained and pruned."""
    by_scenario = found.claims()
    rows = []
    for claim in by_scenario[AS_TRAINED]:
        again = {name: _same(claim, others) for name, others in by_scenario.items()}
        judged = {name: f"{other.headline}: {other.counted}" for name, other in again.items() if other and other.asked}
        judged.setdefault(AS_TRAINED, f"{NOT_JUDGED}: no two arms to compare are finished")
        rows.append({"claim": claim.text} | judged)
    return shown(rows, ["claim", *by_scenario])


def by_site(found: Findings) -> list[tuple[str, Shown]]:
    """By claim what every pair of fronts says to it, as trained and pruned."""
    by_scenario = found.claims()
    return [(claim.text, _by_site(claim, by_scenario, found)) for claim in by_scenario[AS_TRAINED] if claim.asked]


def _by_site(claim: Claim, by_scenario: Mapping[str, Sequence[Claim]], found: Findings) -> Shown:
    rows: dict[object, dict[str, str]] = {}
    for name, others in by_scenario.items():
        other = _same(claim, others)
        for answer in other.asked if other else ():
            row = row_of(answer.panel, answer.pair)
            rows.setdefault(key(row), named(row, found))[name] = said(answer)
    return shown(rows.values(), ["where", "fronts", *by_scenario])


def _same(claim: Claim, others: Sequence[Claim]) -> Claim | None:
    """The claim as another scenario has it."""
    return next((other for other in others if other.text == claim.text), None)


def said(answer: Answer) -> str:
    """What is said of one pair of fronts, and the numbers that it rests on."""
    if answer.left_out:
        return _joined(answer.said, f"{NOT_JUDGED}: {answer.left_out}", answer.caveat)
    return _joined(f"{word(answer)}: {answer.numbers}", answer.caveat)


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def word(answer: Answer) -> str:
    """The verdict on one pair of fronts, with how far it reaches."""
    return answer.word if answer.trainings or answer.word == UNDECIDED else f"{answer.word} {claims.THESE}"


def judged_on(found: Findings) -> list[str]:
    """What the claims on each two arms rest on: how many of what, and under which comparison."""
    lines = []
    for claim in found.claims()[AS_TRAINED]:
        if claim.judged and claim.question == DIRECTION:
            pair, keys = claim.judged[0].pair, [answer.panel.key for answer in claim.judged]
            arms = f"{pair.candidate.architecture} against {pair.reference.architecture}, {claim.name}"
            one = len(keys) > 1 and all(len({key[name] for key in keys}) == 1 for name in ("model", "data.name"))
            shared = "; sites of one model on one text are not independent evidence" if one else ""
            lines.append(f"Judged on {claims.where(claim.judged)} ({arms}){shared}.")
    return lines


def turned(found: Findings) -> list[str]:
    """A line a claim on which pruning gives another verdict."""
    by_scenario = found.claims()
    lines = []
    for claim in by_scenario[AS_TRAINED]:
        others = {name: _same(claim, judged) for name, judged in by_scenario.items() if name != AS_TRAINED}
        differing = [f"{name}: {other.headline}" for name, other in others.items()
                     if other and other.asked and other.verdict != claim.verdict]  # fmt: skip
        if differing:
            lines.append(f"{claim.text} As trained: {claim.headline}; {'; '.join(differing)}.")
    return lines


def scoped(found: Findings) -> bool:
    """Whether any verdict reaches no further than the SAEs that were trained."""
    return any(not answer.trainings and not answer.left_out for answer in found.answers)
