"""Questions about one pair of fronts: which reading judges, about half, shrinkage, and their common family."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.comparison.along import OUTRIGHT, RATIO, SAVED
from pipeline.comparison.arms import Arms, Pair
from pipeline.comparison.band import Band
from pipeline.comparison.compare import Compared
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.measure import Measured
from pipeline.comparison.noise import Noise, Text, Training
from pipeline.comparison.panel import Fidelity
from pipeline.comparison.questions import ABOUT_HALF, DIRECTION, HALF, SHRINKAGE, Answer, answers, judged_by
from pipeline.comparison.shrinkage import Measurement, Shrinkage
from pipeline.comparison.t_distribution import t_quantile
from tests.comparison.asked import pair, panel

ERROR, FREEDOM = 0.02, 11.0
NOISE = Noise(Text(ERROR, ERROR, FREEDOM))
PLACES = 5
NO = np.empty(0)

STUDENT = np.array([t_quantile(0.5 + share / 2, FREEDOM) for share in (np.arange(5000) + 0.5) / 5000])
"""Deviations of a curve that moves as one."""


def read(
    kind: str, difference: float | Sequence[float], of: Pair, span: float = 1.0, noise: Noise = NOISE,
    alive: tuple[float, ...] = (0.95, 0.95), fidelity: Fidelity = "zero", notes: dict[str, str] | None = None,
) -> Measured:  # fmt: skip
    """One reading; `span` is how far log L0 of both arms changes along it."""
    differences = np.broadcast_to(np.asarray(difference, dtype=float), PLACES)
    candidate = np.linspace(0, span, PLACES)
    reference = candidate + differences if kind == RATIO else candidate - differences
    band = None if noise.text is None else Band(np.full(PLACES, ERROR), FREEDOM, STUDENT)
    at = np.linspace(0.5, 0.9, PLACES)
    found = Estimate(kind, 0.5, 0.9, at, reference, candidate, noise, band, 1, notes or {})
    known = [np.array([share] if np.isfinite(share) else []) for share in alive]
    return Measured(
        of, kind, "zero" if kind == RATIO else "", fidelity, found, "", (known[0], known[1]), (NO, NO), (NO, NO)
    )


def nothing(kind: str, of: Pair, note: str) -> Measured:
    return Measured(of, kind, "zero" if kind == RATIO else "", "zero", None, note, (NO, NO), (NO, NO), (NO, NO))


def asked(readings: list[Measured], question: str, shrinkages: Sequence[Shrinkage] = ()) -> Answer:
    compared = Compared(panel(), Arms(), readings, list(shrinkages))
    (found,) = [one for one in answers([compared]) if one.question == question]
    return found


# ---------------------------------------------------------------------------------------------------------- direction


def test_what_the_direction_is_judged_by() -> None:
    of = pair()
    ratio, narrow, saved = read(RATIO, 1.0, of), read(RATIO, 1.0, of, span=0.1), read(SAVED, 0.1, of)
    outright, none = read(OUTRIGHT, 0.3, of), nothing(RATIO, of, "no overlap")
    assert judged_by([ratio, saved]) is ratio and judged_by([narrow, saved]) is saved
    assert judged_by([none, saved]) is saved and judged_by([narrow, nothing(SAVED, of, "apart")]) is narrow
    assert judged_by([none, nothing(SAVED, of, "apart"), outright]) is outright
    assert judged_by([none, nothing(SAVED, of, "apart"), nothing(OUTRIGHT, of, "neither")]) is None


@pytest.mark.parametrize(("span", "narrow"), [(math.log(1.24), True), (math.log(1.26), False)])
def test_narrow_is_where_no_arms_l0_changes_by_a_quarter(span: float, narrow: bool) -> None:
    found = read(RATIO, 1.0, pair(), span=span).estimate
    assert found is not None and found.narrow == narrow
    uneven = read(RATIO, np.linspace(0, 1, PLACES).tolist(), pair(), span=span).estimate
    assert uneven is not None and not uneven.narrow  # the reference's L0 does change


def test_the_direction_with_its_number() -> None:
    of = pair()
    above = asked([read(RATIO, math.log(2), of)], DIRECTION)
    assert (above.word, above.supports) == ("above", "supported") and not above.trainings
    low, high = (2 * math.exp(side * 2.200985 * ERROR) for side in (-1, 1))
    assert above.said == f"L0 ratio 2.00 ({low:.2f} to {high:.2f})"
    below = asked([read(RATIO, -1.0, of), read(SAVED, 1.0, of)], DIRECTION)
    assert (below.word, below.supports) == ("below", "contradicted")
    saved = asked([nothing(RATIO, of, "no overlap"), read(SAVED, -0.2, of, fidelity="delta_ce")], DIRECTION)
    assert saved.word == "below" and saved.said == "gated costs 0.2000 (0.1560 to 0.2440) nats at equal L0"
    crossing = asked([read(RATIO, [1.0, 0.5, 0.5, -0.5, -1.0], of)], DIRECTION)
    assert (crossing.word, crossing.supports) == ("crossing", "mixed")
    assert crossing.numbers.endswith(
        ", the estimated fronts cross at loss recovered 0.75; gated is estimated better along 60% of what they share"
    )
    outright = asked([nothing(RATIO, of, "a"), nothing(SAVED, of, "b"), read(OUTRIGHT, 0.5, of)], DIRECTION)
    assert outright.word == "above" and outright.said == "all points of gated have fewer features and less loss"


def test_nothing_shared_is_left_out_with_every_reason_once() -> None:
    of = pair()
    found = asked([nothing(RATIO, of, "a"), nothing(SAVED, of, "b"), nothing(OUTRIGHT, of, "b")], DIRECTION)
    assert found.left_out == "a; b" and math.isnan(found.p) and math.isnan(found.adjusted) and found.word == "undecided"


def test_without_an_interval_there_is_a_reason_and_no_verdict() -> None:
    of = pair()
    bare = read(RATIO, 1.0, of, noise=Noise(), notes={"sequences": "no interval over sequences: none were drawn"})
    for question in (DIRECTION, HALF):
        found = asked([bare], question)
        assert found.left_out == "no interval over sequences: none were drawn" and found.word == "undecided"
        assert found.scenario == "as trained" and found.would_say != "undecided"


def test_trainings_widen_what_is_said() -> None:
    both = Noise(Text(ERROR, ERROR, FREEDOM), Training(0.05, 3))
    found = asked([read(RATIO, math.log(2), pair(), noise=both)], HALF)
    assert found.trainings and found.p > asked([read(RATIO, math.log(2), pair())], HALF).p
    low, high = both.interval(math.log(2), "both")
    assert found.said == f"L0 ratio 2.00 ({math.exp(low):.2f} to {math.exp(high):.2f})"


# --------------------------------------------------------------------------------------------------------------- half


@pytest.mark.parametrize(
    ("ratio", "word"),
    [(2.0, "supported"), (1.5, "contradicted"), (2.8, "contradicted"), (1.67, "undecided"), (2.45, "undecided")],
)
def test_about_half(ratio: float, word: str) -> None:
    assert ABOUT_HALF == (1.67, 2.5)
    assert asked([read(RATIO, math.log(ratio), pair())], HALF).word == word


@pytest.mark.parametrize(
    ("alive", "why"),
    [
        ((0.5, 0.95), "50% of baseline's features are alive"), ((0.95, 0.89), "89% of gated's features are alive"),
        ((math.nan, 0.95), "how many features of baseline are alive is unknown"), ((0.9, 0.9), ""),
    ],
)  # fmt: skip
def test_dead_features_are_no_evidence_for_about_half(alive: tuple[float, ...], why: str) -> None:
    readings = [read(RATIO, math.log(2), pair(), alive=alive)]
    assert asked(readings, HALF).left_out == why
    assert asked(readings, DIRECTION).word == "above"


# ---------------------------------------------------------------------------------------------------------- shrinkage


def shrunk(
    reference: float, candidate: float, bias: float | None = None, noise: Noise = NOISE, seeds: int = 1
) -> Answer:
    of = pair()
    value = abs(candidate - 1) if bias is None else bias
    small = Noise(Text(0.002, 0.002, FREEDOM)) if noise.text else noise
    measured = [Measurement(reference, small), Measurement(candidate, small), Measurement(value, small)]
    return asked([read(RATIO, 1.0, of)], SHRINKAGE, [Shrinkage(of, *measured, seeds, (4, 4), "")])


@pytest.mark.parametrize(
    ("reference", "candidate", "word"),
    [
        (0.9, 1.0, "supported"), (0.9, 0.9, "contradicted"), (0.99, 1.0, "contradicted"), (0.969, 1.0, "undecided"),
        (0.9, 1.019, "undecided"), (0.9, 1.05, "undecided"),
    ],
)  # fmt: skip
def test_verdicts_on_shrinkage(reference: float, candidate: float, word: str) -> None:
    """Unbiased within 0.02, and the other below 0.97; the opposite: itself below 0.97, or the other above."""
    assert shrunk(reference, candidate).word == word


def test_gammas_on_either_side_of_one_are_biased_though_their_mean_is_not() -> None:
    assert shrunk(0.9, 1.0, bias=0.1).word == "undecided"


def test_shrinkage_without_numbers_is_left_out() -> None:
    assert shrunk(0.9, 1.0, noise=Noise()).left_out == "no interval of gamma"
    of = pair()
    short = Shrinkage(of, None, None, None, 0, (2, 4), "2 of baseline's points ...")
    assert asked([read(RATIO, 1.0, of)], SHRINKAGE, [short]).left_out == "2 of baseline's points ..."
    assert shrunk(0.9, 1.0, seeds=3).trainings and not shrunk(0.9, 1.0, seeds=2).trainings


# ------------------------------------------------------------------------------------------------------------- family


def test_all_questions_of_a_sweep_are_one_family() -> None:
    """Holm: twelve directions at p are each answered at 12 p, and not at p."""
    of = [pair() for _ in range(12)]
    p = 0.01
    multiple = 3.105807  # Student's t with 11 degrees of freedom leaves 1 % outside
    compared = [
        Compared(panel(f"site{number}"), Arms(), [read(RATIO, multiple * ERROR, one, alive=(0.5, 0.5))])
        for number, one in enumerate(of)
    ]
    found = [one for one in answers(compared) if one.question == DIRECTION]
    np.testing.assert_allclose([one.p for one in found], p, rtol=0.03)
    np.testing.assert_allclose([one.adjusted for one in found], 12 * p, rtol=0.03)
    assert {one.word for one in found} == {"undecided"} and {one.family for one in found} == {12}
    assert answers(compared[:1])[0].word == "above"


@pytest.mark.parametrize(("alive", "healthy"), [((0.95, 0.91), True), ((0.95, 0.5), False), ((math.nan, 0.95), None)])
def test_a_direction_says_whether_its_arms_have_live_features(alive: tuple[float, float], healthy: bool | None) -> None:
    (found, *_) = answers([Compared(panel("site"), Arms(), [read(RATIO, 1.0, pair(), alive=alive)])])
    assert found.question == DIRECTION and found.healthy is healthy
