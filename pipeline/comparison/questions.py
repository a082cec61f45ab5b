"""What a sweep is asked, pair by pair, and the answers: one family of levels."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.analysis.curves import as_ratio
from pipeline.comparison.along import OUTRIGHT, RATIO, SAVED
from pipeline.comparison.arms import BASELINE, GATED, Pair
from pipeline.comparison.compare import AS_TRAINED, Compared
from pipeline.comparison.direction import ABOVE, BELOW, CROSSING, UNDECIDED
from pipeline.comparison.family import answered, holm
from pipeline.comparison.measure import Measured
from pipeline.comparison.panel import DELTA_CE, Panel
from pipeline.comparison.seeds import FEWEST_SEEDS
from pipeline.comparison.shrinkage import HEALTHY, Measurement, Shrinkage

SUPPORTED, CONTRADICTED, MIXED = "supported", "contradicted", "mixed"
NOT_JUDGED = "not judged"
DIRECTION, HALF, SHRINKAGE = "direction", "half", "shrinkage"
ABOUT_HALF = (1.67, 2.5)
"""Ratios that count as about half: 0.4 to 0.6 of the baseline's features."""
UNBIASED, SHRUNK = 0.02, 0.97
SAME_TOKENS = 0.10
"""Numbers of tokens that differ by no more than this share count as equal."""


@dataclass(frozen=True)
class Answer:
    """One question about one pair of fronts."""

    question: str
    panel: Panel
    pair: Pair
    would_say: str  # what the evidence leans to
    p: float  # the smallest level at which it says so; NaN where it cannot be asked
    trainings: bool  # whether the noise of training was measured
    said: str  # numbers, in words
    scenario: str = ""  # how the runs were evaluated
    left_out: str = ""  # why it cannot be asked
    crosses: str = ""  # where the estimates cross
    healthy: bool | None = True  # whether both arms have enough live features; None where that is unknown
    caveat: str = ""  # what is not finished of the arms
    tokens: float = math.nan  # that the candidate was trained on, over the reference's
    adjusted: float = math.nan  # p within the family
    family: int = 0  # questions in it

    @property
    def arms(self) -> tuple[str, str]:
        return self.pair.reference.architecture, self.pair.candidate.architecture

    @property
    def fronts(self) -> tuple[Any, ...]:
        """What names the pair of fronts, pruned or not."""
        widths = self.pair.reference.d_sae, self.pair.candidate.d_sae
        return (*map(str, self.panel.key.values()), *self.arms, *widths)

    @property
    def unlike(self) -> bool:
        """Whether the arms are known to have been trained on other numbers of tokens."""
        return abs(math.log(self.tokens)) > math.log1p(SAME_TOKENS)

    @property
    def word(self) -> str:
        """The verdict."""
        return self.would_say if answered(self.adjusted) else UNDECIDED

    @property
    def supports(self) -> str:
        """What the verdict means for a claim that the candidate is better."""
        if self.question != DIRECTION:
            return self.word
        return {ABOVE: SUPPORTED, BELOW: CONTRADICTED, CROSSING: MIXED}.get(self.word, UNDECIDED)

    @property
    def numbers(self) -> str:
        """What was measured; where the fronts cross, unless the verdict is that they do not."""
        return self.said + (self.crosses if self.word in {CROSSING, UNDECIDED} else "")


def answers(compared: Iterable[Compared]) -> list[Answer]:
    """Every question, with its level in the family of all of them."""
    found = [replace(answer, scenario=one.scenario) for one in compared for answer in _asked(one)]
    found += _not_asked_pruned(found)
    p = np.array([answer.p for answer in found])
    family = int(np.isfinite(p).sum())
    return [replace(answer, adjusted=float(level), family=family) for answer, level in zip(found, holm(p), strict=True)]


def _asked(one: Compared) -> Iterator[Answer]:
    shrunk = {shrinkage.pair: shrinkage for shrinkage in one.shrinkages}
    for pair in one.pairs:
        read = [measured for measured in one.measured if measured.pair is pair]
        found = [_direction(one.panel, pair, read)]
        if _is_the_papers(pair):
            found.append(_half(one.panel, pair, next(measured for measured in read if measured.kind == RATIO)))
        if pair in shrunk:
            found.append(_shrinkage(one.panel, shrunk[pair]))
        tokens = _tokens(judged_by(read) or read[0])
        caveats = (one.unfinished.get((front.architecture, front.d_sae)) for front in pair.fronts)
        caveat = "; ".join(filter(None, caveats))
        yield from (_as_trained_alike(replace(answer, tokens=tokens, caveat=caveat)) for answer in found)
    for pair, why in one.lost:
        for question in (DIRECTION, *([HALF] if _is_the_papers(pair) else []), SHRINKAGE):
            yield Answer(question, one.panel, pair, UNDECIDED, math.nan, False, "", left_out=why)


def _not_asked_pruned(found: Sequence[Answer]) -> list[Answer]:
    """What was asked as trained and not again where other places were pruned: a claim counts it there too."""
    again = {(answer.scenario, answer.arms) for answer in found if answer.scenario != AS_TRAINED}
    known = {(answer.scenario, answer.question, *answer.fronts) for answer in found}
    return [
        Answer(answer.question, answer.panel, answer.pair, UNDECIDED, math.nan, False, "", scenario,
               answer.left_out if not answer.said else "no run was evaluated pruned there")
        for answer in found
        for scenario, arms in again
        if answer.scenario == AS_TRAINED and answer.question != SHRINKAGE and answer.arms == arms
        and (scenario, answer.question, *answer.fronts) not in known
    ]  # fmt: skip


def _tokens(read: Measured) -> float:
    """Tokens that the candidate was trained on over the reference's: means over the points that were read off."""
    reference, candidate = read.tokens
    return float(candidate.mean() / reference.mean()) if reference.size and candidate.size else math.nan


def _as_trained_alike(answer: Answer) -> Answer:
    """Not judged where one arm was trained on other numbers of tokens than the other, whatever was measured."""
    if not answer.unlike:
        return answer
    why = "; ".join(part for part in (answer.left_out, other_tokens(answer)) if part)
    return replace(answer, p=math.nan, left_out=why)


def other_tokens(answer: Answer) -> str:
    """How much longer one arm was trained than the other, in words."""
    longer, times = answer.pair.candidate, answer.tokens
    if times < 1:
        longer, times = answer.pair.reference, 1 / times
    return f"{longer.architecture} was trained on {times:.3g} times the tokens"


def judged_by(read: Sequence[Measured]) -> Measured | None:
    """The reading that the direction is judged by: the ratio, unless it is narrow; what is saved; the gaps."""
    by_kind = {measured.kind: measured for measured in reversed(read) if measured.estimate is not None}
    ratio = by_kind.get(RATIO)
    if ratio is not None and ratio.estimate is not None and ratio.estimate.narrow and SAVED in by_kind:
        return by_kind[SAVED]
    return ratio or by_kind.get(SAVED) or by_kind.get(OUTRIGHT)


def _direction(panel: Panel, pair: Pair, read: Sequence[Measured]) -> Answer:
    chosen = judged_by(read)
    if chosen is None or chosen.estimate is None:
        notes = [measured.note for measured in read if measured.note and measured.ablation != "mean"]
        why = "; ".join(dict.fromkeys(notes))
        return Answer(DIRECTION, panel, pair, UNDECIDED, math.nan, False, "", left_out=why)
    found = chosen.estimate
    leaning = found.direction
    trainings = found.noise.training is not None
    left_out = "" if math.isfinite(leaning.p) else found.notes.get("sequences", "no interval")
    shares = [alive.mean() if alive.size else math.nan for alive in chosen.alive]
    healthy = None if any(map(math.isnan, shares)) else bool(min(shares) >= HEALTHY)
    return Answer(
        DIRECTION, panel, pair, leaning.word, leaning.p, trainings, _how(chosen), left_out=left_out,
        crosses=_crosses(chosen), healthy=healthy,
    )  # fmt: skip


def _how(chosen: Measured) -> str:
    """The number that the direction is of, with its interval."""
    found, candidate = chosen.estimate, chosen.pair.candidate.architecture
    assert found is not None
    if chosen.kind == OUTRIGHT:
        better = "fewer features and less loss" if found.median > 0 else "more features and more loss"
        return f"all points of {candidate} have {better}"
    return quantity(chosen)


def _crosses(chosen: Measured) -> str:
    """Where the fronts, as estimated, cross."""
    found = chosen.estimate
    assert found is not None
    places = [math.exp(at) if chosen.kind == SAVED else abs(at) for at in found.direction.changes]
    along = "L0" if chosen.kind == SAVED else _fidelity(chosen)
    if not places:
        return ""
    at, better = ", ".join(f"{place:.3g}" for place in places[:3]), np.mean(found.difference > 0)
    return (
        f", the estimated fronts cross at {along} {at}; {chosen.pair.candidate.architecture} is estimated better along "
        f"{better:.0%} of what they share"
    )


def quantity(chosen: Measured) -> str:
    """The ratio, or what is saved, with its widest interval that was measured."""
    found = chosen.estimate
    assert found is not None
    ends = found.noise.widest(found.median)
    low, middle, high = (float(as_ratio(v)) if chosen.kind == RATIO else v for v in (ends[0], found.median, ends[1]))
    alone = " over seeds alone" if found.noise.text is None else ""
    if chosen.kind == RATIO:
        return f"L0 ratio {middle:.2f}" + (f" ({low:.2f} to {high:.2f}{alone})" if math.isfinite(low) else "")
    unit = "nats" if chosen.fidelity == DELTA_CE else "of loss recovered"
    saved = "saves"
    if middle < 0:  # a negative saving must be read twice
        saved, low, middle, high = "costs", -high, -middle, -low
    interval = f" ({low:.4f} to {high:.4f}{alone})" if math.isfinite(low) else ""
    return f"{chosen.pair.candidate.architecture} {saved} {middle:.4f}{interval} {unit} at equal L0"


def _fidelity(chosen: Measured) -> str:
    return "cross-entropy added" if chosen.fidelity == DELTA_CE else "loss recovered"


def asks_half(ratio: Measured) -> bool:
    """Whether this ratio is judged to be about half or not."""
    return _is_the_papers(ratio.pair) and ratio.estimate is not None and not _not_healthy(ratio)


def _is_the_papers(pair: Pair) -> bool:
    """Whether the paper claims something of these two arms."""
    return (pair.reference.architecture, pair.candidate.architecture) == (BASELINE, GATED)


def _half(panel: Panel, pair: Pair, ratio: Measured) -> Answer:
    """Is the ratio about 2? Asked where both arms have live features."""
    found = ratio.estimate
    why = _not_healthy(ratio) if found else ratio.note
    if found is None or why:
        return Answer(HALF, panel, pair, UNDECIDED, math.nan, False, "", left_out=why)
    low, high = np.log(ABOUT_HALF)
    within = found.noise.p_within(found.median, low, high)
    outside = np.fmin(found.noise.p_above(found.median, high), found.noise.p_below(found.median, low))
    said = quantity(ratio)
    trainings = found.noise.training is not None
    left_out = "" if math.isfinite(within) else found.notes.get("sequences", "no interval")
    word, p = (SUPPORTED, within) if within <= outside else (CONTRADICTED, outside)
    return Answer(HALF, panel, pair, word, float(p), trainings, said, left_out=left_out)


def _not_healthy(ratio: Measured) -> str:
    """Which arms have too few live features, or unknown ones."""
    parts = []
    for front, alive in zip(ratio.pair.fronts, ratio.alive, strict=True):
        if not alive.size:
            parts.append(f"how many features of {front.architecture} are alive is unknown")
        elif alive.mean() < HEALTHY:
            parts.append(f"{alive.mean():.0%} of {front.architecture}'s features are alive")
    return ", ".join(parts)


def _shrinkage(panel: Panel, shrunk: Shrinkage) -> Answer:
    """Has the candidate no shrinkage, and the reference some?"""
    reference, candidate, bias = shrunk.reference, shrunk.candidate, shrunk.bias
    if reference is None or candidate is None or bias is None:
        return Answer(SHRINKAGE, panel, shrunk.pair, UNDECIDED, math.nan, False, "", left_out=shrunk.note)
    none = bias.noise.p_below(bias.value, UNBIASED)
    some = reference.noise.p_below(reference.value, SHRUNK)
    too = candidate.noise.p_below(candidate.value, SHRUNK)
    neither = reference.noise.p_above(reference.value, SHRUNK)
    holds, fails = float(np.maximum(none, some)), min(1.0, 2 * float(np.fmin(too, neither)))
    arms = [(front.architecture, one) for front, one in zip(shrunk.pair.fronts, (reference, candidate), strict=True)]
    gammas = ", ".join(f"{name} {_number(one)}" for name, one in reversed(arms))
    said = f"mean gamma {gammas}; mean distance of {arms[1][0]}'s gamma from 1: {_number(bias)}"
    trainings = shrunk.n_seeds >= FEWEST_SEEDS
    left_out = "" if math.isfinite(holds) else "no interval of gamma"
    word, p = (SUPPORTED, holds) if not holds > fails else (CONTRADICTED, fails)
    return Answer(SHRINKAGE, panel, shrunk.pair, word, p, trainings, said, left_out=left_out)


def _number(one: Measurement) -> str:
    """With the widest interval that was measured."""
    low, high = one.noise.widest(one.value)
    return f"{one.value:.3f}" + (f" ({low:.3f} to {high:.3f})" if math.isfinite(low) else "")
