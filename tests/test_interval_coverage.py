"""A short form of `make interval-coverage`: too few draws to see 93 %, enough to see an interval that is wrong."""

import numpy as np
import pytest

from benchmarks.interval_coverage import CASES, Case, coverages, covered, main

DRAWS = 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_intervals_cover_in_most_draws(case: Case) -> None:
    hits = [covered(case, np.random.default_rng([7, draw]), 200)[0] for draw in range(DRAWS)]
    assert sum(hits) >= 0.8 * DRAWS  # of 40 draws at 95 %, fewer than 32 have a chance of one in ten thousand


def test_the_command_says_what_it_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("benchmarks.interval_coverage.CASES", CASES[:1])
    assert [name for name, _ in coverages(2, 50)] == [CASES[0].name, f"{CASES[0].name}, single runs"]
    monkeypatch.setattr("benchmarks.interval_coverage.covered", lambda *_: (False, [True]))
    assert main(["draws=3"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("interval coverage FAILED: 0.0%, 100.0% of 3 draws")
