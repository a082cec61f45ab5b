"""Claims about two arms over a whole sweep: what its sites say together, and by which rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.comparison.arms import BASELINE, GATED
from pipeline.comparison.direction import UNDECIDED
from pipeline.comparison.questions import (
    ABOUT_HALF,
    CONTRADICTED,
    DIRECTION,
    HALF,
    SHRINKAGE,
    SHRUNK,
    SUPPORTED,
    UNBIASED,
    Answer,
)  # fmt: skip
from pipeline.comparison.seeds import FEWEST_SEEDS
from pipeline.comparison.shrinkage import FEWEST_POINTS, HEALTHY

MIXED = "mixed"
PREFERRED = ("width_1.5", "equal_width", "equal_flops", "equal_seconds", "equal_dense_flops")
"""Of the comparisons that a panel holds, claims are judged by the first; the paper's own is 1.5 x width."""
THESE = "for these SAEs"
RULES = {
    DIRECTION: "A pair of fronts says so where its band lies above zero along all that the fronts share, and the "
    "opposite where it lies below, or above in one place and below in another (crossing).",
    SHRINKAGE: f"At a site where both arms have {FEWEST_POINTS} points on the front with {HEALTHY:.0%} of their "
    f"features alive: it says so where the mean of |gamma - 1| of the one lies below {UNBIASED:g} and the mean gamma "
    f"of the other below {SHRUNK:g}; the opposite where the one's mean gamma lies below {SHRUNK:g}, or the other's "
    "above.",
    HALF: f"At a site where both arms have {HEALTHY:.0%} of their features alive: it says so where the interval of the "
    f"L0 ratio lies within {ABOUT_HALF[0]:g} to {ABOUT_HALF[1]:g}, the opposite where it lies outside.",
}
OVERALL = (
    "Overall: supported where every pair of fronts says so and none is left out; contradicted where some say the "
    "opposite and none says so; mixed where some say the one and some the other; else undecided. The levels of all "
    "these questions are adjusted together (Holm), so that in 95 of 100 sweeps none of them is answered wrongly."
)
SCOPE = (
    f'"{THESE}": on other text of the same kind. How far another training would move it was not measured: that takes '
    f"{FEWEST_SEEDS} seeds at every point of both fronts."
)


@dataclass(frozen=True)
class Claim:
    text: str
    verdict: str  # SUPPORTED, CONTRADICTED, MIXED or UNDECIDED
    scope: str  # THESE or ""
    because: str  # what was counted
    rule: str

    @property
    def headline(self) -> str:
        """The verdict, with how far it reaches."""
        return f"{self.verdict} {self.scope}" if self.scope and self.verdict != UNDECIDED else self.verdict


def claims(answers: Sequence[Answer]) -> list[Claim]:
    """For every two arms that are compared: the direction and shrinkage; and for the paper's two, about half."""
    found = []
    for arms in _two_arms(answers):
        chosen = _preferred([answer for answer in answers if _arms(answer) == arms])
        found += [_claim(text, question, chosen) for question, text in _texts(*arms)]
    return found


def _preferred(answers: Sequence[Answer]) -> list[Answer]:
    """Of every panel those about the comparison that comes first there."""
    first: dict[int, int] = {}
    for answer in answers:
        first[id(answer.panel)] = min(first.get(id(answer.panel), len(PREFERRED)), _rank(answer))
    return [answer for answer in answers if _rank(answer) == first[id(answer.panel)]]


def _rank(answer: Answer) -> int:
    return min(map(PREFERRED.index, answer.pair.names))


def _two_arms(answers: Sequence[Answer]) -> list[tuple[str, str]]:
    """The paper's first."""
    found = dict.fromkeys(map(_arms, answers))
    return sorted(found, key=lambda arms: (arms != (BASELINE, GATED), arms)) or [(BASELINE, GATED)]


def _arms(answer: Answer) -> tuple[str, str]:
    return answer.pair.reference.architecture, answer.pair.candidate.architecture


def _texts(reference: str, candidate: str) -> Iterator[tuple[str, str]]:
    one, other = candidate.capitalize(), f"the {reference}" if reference == BASELINE else reference
    yield DIRECTION, f"{one} is above {other}: as faithful with fewer active features."
    yield SHRINKAGE, f"{one} has no shrinkage, {other} has."
    if (reference, candidate) == (BASELINE, GATED):
        yield HALF, f"{one} needs about half the active features."


def _claim(text: str, question: str, chosen: Sequence[Answer]) -> Claim:
    asked = [answer for answer in chosen if answer.question == question]
    judged = [answer for answer in asked if not answer.left_out]
    verdict = _together([UNDECIDED if answer.left_out else answer.supports for answer in asked])
    scope = "" if all(answer.trainings for answer in judged) else THESE
    because = _counted(judged) if judged else "nothing to judge by"
    left_out = dict.fromkeys(f"{place(answer)}: {answer.left_out}" for answer in asked if answer.left_out)
    because += f"; left out: {'; '.join(left_out)}" if left_out else ""
    return Claim(text, verdict, scope, because, RULES[question])


def _together(words: Sequence[str]) -> str:
    if words and all(word == SUPPORTED for word in words):
        return SUPPORTED
    if SUPPORTED in words and CONTRADICTED in words:
        return MIXED
    return CONTRADICTED if CONTRADICTED in words else UNDECIDED


def _counted(judged: Sequence[Answer]) -> str:
    """How many pairs say what, and where they lie: sites of one layer are not independent findings."""
    words = [answer.word for answer in judged]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    names = " + ".join(dict.fromkeys(PREFERRED[_rank(answer)] for answer in judged))
    differ = len(set(words)) > 1
    numbers = [f"{place(one)}: {f'{one.word}, ' if differ else ''}{one.said}" for one in judged]
    return f"{names}: {counts} of {where(judged)} ({'; '.join(numbers)})"


def where(answers: Sequence[Answer]) -> str:
    """What the pairs of fronts are of, as they are: 3 sites of one layer of one model, on one text."""
    keys = [answer.panel.key for answer in answers]
    sites = {(key["site"], key["layer"], key["model"], key["data.name"]) for key in keys}
    counts = [len(answers), *(len(set(values)) for values in zip(*sites, strict=True))]
    words = (("pair of fronts", "pairs of fronts"), ("site", "sites"), ("layer", "layers"), ("model", "models"))
    named = zip(counts, (*words, ("text", "texts")), strict=True)
    return ", ".join(f"{count} {one if count == 1 else many}" for count, (one, many) in named)


def place(answer: Answer) -> str:
    return f"{answer.panel.key['site']}, layer {answer.panel.key['layer']}"
