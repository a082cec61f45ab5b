"""Claims about two arms over a whole sweep: what its sites say together, and by which rule."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.comparison.arms import BASELINE, GATED
from pipeline.comparison.direction import UNDECIDED
from pipeline.comparison.questions import (
    ABOUT_HALF,
    CONTRADICTED,
    DIRECTION,
    HALF,
    MIXED,
    NOT_JUDGED,
    SHRINKAGE,
    SHRUNK,
    SUPPORTED,
    UNBIASED,
    Answer,
)  # fmt: skip
from pipeline.comparison.seeds import FEWEST_SEEDS
from pipeline.comparison.shrinkage import FEWEST_POINTS, HEALTHY

PLACES = {"site": "site", "layer": "layer", "model": "model", "text": "data.name"}
"""What pairs of fronts are counted by: the column of each."""
PREFERRED = ("width_1.5", "equal_width", "equal_flops", "equal_seconds", "equal_dense_flops")
"""Of the comparisons that a panel holds, claims are judged by the first; the paper's own is 1.5 x width."""
THESE = "for these SAEs"
RULES = {
    DIRECTION: "Above, at a site: the band of the L0 ratio lies above 1 over the whole range that both fronts reach. "
    "Below: it lies below 1. Crossing: it lies above 1 in one place and below 1 in another. "
    "Where there is no ratio, or its range is narrow, the rule is applied to the loss that the candidate saves at "
    "equal L0, with 0 in place of 1. Where there is none of that either, one front must be better in both L0 and loss "
    "at all its points.",
    SHRINKAGE: f"No shrinkage, at a site where both arms have {FEWEST_POINTS} points on the front with {HEALTHY:.0%} "
    "of their features alive. Supported: the interval of the candidate's mean of |gamma - 1| lies below "
    f"{UNBIASED:g}, and that of the reference's mean gamma below {SHRUNK:g}. Contradicted: the interval of the "
    f"candidate's mean gamma lies below {SHRUNK:g}, or the reference's above. Means are over those points only.",
    HALF: f"About half, at a site where both arms have {HEALTHY:.0%} of their features alive, on average over the "
    f"points that the ratio rests on. Supported: the interval of the L0 ratio lies within {ABOUT_HALF[0]:g} to "
    f"{ABOUT_HALF[1]:g}. Contradicted: it lies outside.",
}
OVERALL = (
    "Over all sites: supported if every pair of fronts supports the claim; contradicted if some contradict it and none "
    "supports it; mixed if fronts cross, or some support it and others contradict it; otherwise undecided. If a pair "
    "is not judged, the claim is undecided even where all others support it."
)
LEVELS = (
    "All verdicts of a sweep are corrected together (Holm's procedure), so that 95 of 100 sweeps should have no wrong "
    "verdict; `make interval-coverage` measures this for directions and for about half, as trained. A verdict's band "
    "is therefore wider than the 95 % band of the figures. A band over a whole front is also wider than the interval "
    "of its median. A verdict may be undecided although that interval alone would decide. verdicts.csv has every "
    "p-value (0.001 means 0.001 or less); docs/statistics.md describes the method."
)
SCOPE = (
    f'"{THESE}": the verdict holds on other text of the same kind. How much another training would change it was not '
    f"measured: that takes {FEWEST_SEEDS} seeds at every point of both fronts."
)


@dataclass(frozen=True)
class Claim:
    """One sentence on two arms, and what the pairs of fronts say to it together."""

    text: str
    verdict: str  # SUPPORTED, CONTRADICTED, MIXED or UNDECIDED
    scope: str  # THESE or ""
    question: str
    asked: tuple[Answer, ...]  # pair by pair

    @property
    def headline(self) -> str:
        """The verdict, with how far it reaches."""
        if not self.judged:
            return NOT_JUDGED
        return f"{self.verdict} {self.scope}" if self.scope and self.verdict != UNDECIDED else self.verdict

    @property
    def judged(self) -> list[Answer]:
        return [answer for answer in self.asked if not answer.left_out]

    @property
    def name(self) -> str:
        """Of the comparison that it is judged by, or of several where panels differ."""
        ranks = [_rank(answer) for answer in self.asked if answer.pair.names]
        return " + ".join(dict.fromkeys(PREFERRED[rank] for rank in ranks)) or "by no rule"

    @property
    def counted(self) -> str:
        """How many pairs of fronts say what."""
        if not self.judged:
            return f"at none of {len(self.asked)}" if self.asked else "nothing to judge by"
        words = [answer.word for answer in self.judged] + [NOT_JUDGED for answer in self.asked if answer.left_out]
        order = sorted(dict.fromkeys(words), key=lambda word: (word == NOT_JUDGED, word == UNDECIDED))
        counts = ", ".join(f"{words.count(word)} {word}" for word in order)
        dead = sum(answer.healthy is False for answer in self.judged)
        unknown = sum(answer.healthy is None for answer in self.judged)
        counts += f"; in {dead} an arm has less than {HEALTHY:.0%} of its features alive" if dead else ""
        counts += f"; in {unknown} it is unknown how many features are alive" if unknown else ""
        partly = Counter(answer.caveat for answer in self.judged if answer.caveat)
        return "; ".join(
            [counts, *(f"at {count} of them {caveat.replace('; ', ', ')}" for caveat, count in partly.items())]
        )


def claims(answers: Sequence[Answer]) -> list[Claim]:
    """For every two arms that are compared: the direction and shrinkage; and for the paper's two, about half."""
    found = []
    for arms in _two_arms(answers):
        chosen = _preferred([answer for answer in answers if answer.arms == arms])
        found += [_claim(text, question, chosen) for question, text in _texts(*arms)]
    return found


def _preferred(answers: Sequence[Answer]) -> list[Answer]:
    """Of every panel those about the comparison that comes first there."""
    first: dict[tuple[str, ...], int] = {}
    for answer in answers:
        first[_place(answer)] = min(first.get(_place(answer), len(PREFERRED)), _rank(answer))
    return [answer for answer in answers if _rank(answer) == first[_place(answer)]]


def _place(answer: Answer) -> tuple[str, ...]:
    return tuple(map(str, answer.panel.key.values()))


def _rank(answer: Answer) -> int:
    return min(map(PREFERRED.index, answer.pair.names), default=len(PREFERRED))


def _two_arms(answers: Sequence[Answer]) -> list[tuple[str, str]]:
    """The paper's first."""
    found = dict.fromkeys(answer.arms for answer in answers)
    return sorted(found, key=lambda arms: (arms != (BASELINE, GATED), arms)) or [(BASELINE, GATED)]


def _texts(reference: str, candidate: str) -> Iterator[tuple[str, str]]:
    one, other = candidate.capitalize(), f"the {reference}" if reference == BASELINE else reference
    yield DIRECTION, f"{one} is above {other}: as faithful with fewer active features."
    yield SHRINKAGE, f"{one} has no shrinkage, {other} has."
    if (reference, candidate) == (BASELINE, GATED):
        yield HALF, f"{one} needs about half the active features."


def _claim(text: str, question: str, chosen: Sequence[Answer]) -> Claim:
    asked = tuple(answer for answer in chosen if answer.question == question)
    judged = [answer for answer in asked if not answer.left_out]
    verdict = _together([answer.supports for answer in judged], len(judged) == len(asked))
    scope = "" if all(answer.trainings for answer in judged) else THESE
    return Claim(text, verdict, scope, question, asked)


def _together(words: Sequence[str], complete: bool) -> str:
    if words and complete and all(word == SUPPORTED for word in words):
        return SUPPORTED
    if MIXED in words or {SUPPORTED, CONTRADICTED} <= set(words):
        return MIXED
    return CONTRADICTED if CONTRADICTED in words else UNDECIDED


def where(answers: Sequence[Answer]) -> str:
    """How many sites, layers, models and texts the pairs of fronts cover: sites of one layer are not independent."""
    keys = [answer.panel.key for answer in answers]
    counts = {what: len({key[name] for key in keys}) for what, name in PLACES.items()}
    said = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for what, count in counts.items())
    return f"{len(answers)} pair{'s' if len(answers) > 1 else ''} of fronts, {said}"
