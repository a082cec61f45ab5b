"""The rule for words over a whole sweep, case by case."""

import pytest

from pipeline.comparison.claims import RULES, Claim, claims, where
from pipeline.comparison.questions import DIRECTION, HALF, SHRINKAGE, Answer
from tests.comparison.asked import answer, pair, panel


def claim(answers: list[Answer], question: str = DIRECTION) -> Claim:
    """Of the paper's two arms."""
    return claims(answers)[(DIRECTION, SHRINKAGE, HALF).index(question)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["above"], "supported"), (["above", "above"], "supported"), (["above", "undecided"], "undecided"),
        (["above", "below"], "mixed"), (["above", "crossing"], "mixed"), (["above", "below", "undecided"], "mixed"),
        (["below"], "contradicted"), (["crossing", "undecided"], "mixed"), (["undecided"], "undecided"),
        ([], "undecided"),
    ],
)  # fmt: skip
def test_what_sites_say_together_of_the_direction(words: list[str], expected: str) -> None:
    found = claim([answer(word, f"site{number}") for number, word in enumerate(words)])
    assert found.verdict == expected and found.headline == (expected if words else "not judged")


@pytest.mark.parametrize("question", [SHRINKAGE, HALF])
def test_what_sites_say_together_of_the_other_claims(question: str) -> None:
    def judged(*words: str) -> str:
        return claim([answer(word, f"s{n}", question) for n, word in enumerate(words)], question).verdict

    assert judged("supported", "supported") == "supported" and judged("supported", "contradicted") == "mixed"
    assert judged("contradicted", "undecided") == "contradicted" and judged("supported", "undecided") == "undecided"


def test_a_site_that_is_left_out_keeps_a_claim_from_being_supported() -> None:
    left_out = answer("above", "attn_z", left_out="the fronts do not overlap")
    found = claim([answer("above"), left_out])
    assert found.verdict == "undecided"
    assert found.counted == "1 above, 1 not judged" and found.asked[1] is left_out
    assert claim([answer("below"), left_out]).verdict == "contradicted"
    assert claim([left_out]).verdict == "undecided" and claim([left_out]).counted == "at none of 1"
    assert claim([]).counted == "nothing to judge by"


def test_no_verdict_reaches_further_than_the_trainings_that_were_measured() -> None:
    one_short = [answer("above", trainings=True), answer("above", "attn_z", trainings=False)]
    assert claim(one_short).headline == "supported for these SAEs"
    assert claim(one_short[:1]).headline == "supported"
    assert claim([answer("undecided", trainings=False)]).headline == "undecided"
    assert claim([answer("below", trainings=False)]).headline == "contradicted for these SAEs"


def test_what_is_counted_is_what_sites_say() -> None:
    found = claim([answer("above"), answer("below", "attn_z"), answer("above", "resid_post")])
    assert found.counted == "2 above, 1 below" and found.name == "width_1.5"
    assert [one.panel.key["site"] for one in found.judged] == ["mlp_out", "attn_z", "resid_post"]


def test_each_panel_is_judged_by_the_comparison_that_comes_first_there() -> None:
    here, there = panel(), panel("attn_z")
    paper, equal = pair(), pair(names=("equal_width", "equal_flops"))
    both = [answer("above", of=paper, at=here), answer("below", of=equal, at=here)]
    assert claim(both).verdict == "supported"
    found = claim([*both, answer("below", of=pair(names=("equal_seconds", "equal_width")), at=there)])
    assert (found.verdict, found.name, found.counted) == ("mixed", "width_1.5 + equal_width", "1 above, 1 below")


def test_any_two_arms_have_claims_and_the_papers_come_first() -> None:
    third = pair("baseline", "topk", ("equal_width",))
    found = claims([answer("above", of=third), answer("above"), answer("below", of=pair("gated", "topk"))])
    assert [one.text for one in found] == [
        "Gated is above the baseline: as faithful with fewer active features.",
        "Gated has no shrinkage, the baseline has.", "Gated needs about half the active features.",
        "Topk is above the baseline: as faithful with fewer active features.",
        "Topk has no shrinkage, the baseline has.",
        "Topk is above gated: as faithful with fewer active features.", "Topk has no shrinkage, gated has.",
    ]  # fmt: skip
    assert [one.verdict for one in found if "above" in one.text] == ["supported", "supported", "contradicted"]


def test_what_the_pairs_are_of() -> None:
    keys = [panel("a"), panel("b"), panel("b", layer=2), panel("b", model="other")]
    assert where([answer("above", at=at) for at in keys]) == "4 pairs of fronts, 2 sites, 2 layers, 2 models, 1 text"


def test_every_claim_says_its_rule() -> None:
    assert {one.question for one in claims([])} == set(RULES) == {DIRECTION, SHRINKAGE, HALF}
