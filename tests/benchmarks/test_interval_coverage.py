"""A short form of `make interval-coverage`: too few draws to see 93 %, enough to see an interval that is wrong."""

import numpy as np
import pytest

from benchmarks import interval_coverage
from benchmarks.coverage_law import Law
from benchmarks.interval_coverage import CASES, FAMILIES, USUAL, asked, drawn, false_verdicts, main

DRAWS = 40
SHORT = [case for case in CASES if case.judged and not case.law.ragged and case.law.seeds <= 5]


@pytest.mark.slow
def test_intervals_cover_about_as_often_as_they_say() -> None:
    results = {case.name: [drawn(case, 200, (7, draw)) for draw in range(DRAWS)] for case in SHORT}
    ratios = {name: sum(one.covered for one in found) for name, found in results.items()}
    bands = {name: sum(one.band for one in found) for name, found in results.items()}
    assert min(ratios.values()) >= 0.78 * DRAWS, ratios  # at 95 %, fewer have a chance of one in ten thousand
    assert min(bands.values()) >= 0.78 * DRAWS, bands
    repeats = [one.repeat for found in results.values() for one in found if one.repeat is not None]
    for shares in (sum(ratios.values()) / (DRAWS * len(SHORT)), float(np.mean(repeats))):
        assert 0.91 <= shares <= 0.985


def test_an_interval_that_ignores_training_is_seen_to_fail() -> None:
    (case,) = (case for case in CASES if not case.judged)
    assert sum(drawn(case, 200, (7, draw)).covered for draw in range(DRAWS)) < 0.93 * DRAWS


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_no_more_false_verdicts_than_stated(name: str) -> None:
    questions = [asked(FAMILIES[name], 200, (9, draw)) for draw in range(12)]
    for panels in (1, 12):
        assert false_verdicts(questions, panels, 50) <= 0.2


def test_a_wrong_answer_counts_and_holm_needs_more_of_many() -> None:
    wrong = [[(0.03, True)]] * 12
    assert false_verdicts(wrong, 1, 10) == 1 and false_verdicts(wrong, 12, 10) == 0
    assert false_verdicts([[(0.001, False)]] * 12, 12, 10) == 0


def test_the_command_says_what_it_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(interval_coverage, "CASES", CASES[:1])
    monkeypatch.setattr(interval_coverage, "FAMILIES", {})
    assert main(["draws=3", "replicates=100", "processes=1"]) in {0, 1}
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("interval coverage ") and last.endswith(" of 3 draws each") and last.count("%") == 3


def test_what_is_said_of_a_case_is_what_its_law_does() -> None:
    assert set(USUAL) == {"draws", "replicates", "processes"}
    for case in CASES:
        assert f"{case.law.seeds} seed" in case.name or case.law == Law(case.law.documents, ragged=True)
        assert ("noisy" in case.name or "equal" in case.name) == (case.law.off > 0.1)
