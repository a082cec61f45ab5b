"""A short form of `make interval-coverage`: too few draws to see 93 %, enough to see an interval that is wrong."""

import numpy as np
import pytest

from benchmarks.interval_coverage import CASES, coverages, covered, main

DRAWS = 100


def test_intervals_cover_about_as_often_as_they_say() -> None:
    hits = {
        case.name: sum(covered(case, np.random.default_rng([7, draw]), 200)[0] for draw in range(DRAWS))
        for case in CASES
    }
    assert min(hits.values()) >= 0.87 * DRAWS, hits  # at 95 %, fewer have a chance of one in a thousand
    assert 0.92 <= sum(hits.values()) / (DRAWS * len(CASES)) <= 0.98, hits


def test_the_command_says_what_it_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("benchmarks.interval_coverage.CASES", CASES[:1])
    assert [name for name, _ in coverages(2, 50)] == [CASES[0].name, f"{CASES[0].name}, single runs"]
    monkeypatch.setattr("benchmarks.interval_coverage.covered", lambda *_: (False, [True]))
    assert main(["draws=3"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("interval coverage FAILED: 0.0%, 100.0% of 3 draws")
