"""Holm's procedure: an example by hand, and the level that it is for."""

import numpy as np
import pytest

from pipeline.comparison.family import answered, holm


def test_an_example_by_hand() -> None:
    """In order 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which may not fall below the one before it."""
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


def test_what_cannot_be_asked_is_no_question() -> None:
    adjusted = holm(np.array([0.02, np.nan, 0.03]))
    np.testing.assert_allclose(adjusted, [0.04, np.nan, 0.04])
    assert [answered(level) for level in adjusted] == [True, False, True]
    assert holm(np.array([])).size == 0 and np.isnan(holm(np.array([np.nan]))).all()


def test_edges() -> None:
    np.testing.assert_allclose(holm(np.array([0.9, 0.8, 0.0])), [1.0, 1.0, 0.0])
    np.testing.assert_allclose(holm(np.array([0.02, 0.02, 0.02])), 0.06)  # ties stand together
    assert answered(0.05) and not answered(0.0501)


@pytest.mark.parametrize("questions", [1, 3, 27])
def test_all_together_are_wrong_in_one_sweep_of_twenty(questions: int) -> None:
    rng = np.random.default_rng(questions)
    wrong = [any(map(answered, holm(rng.uniform(size=questions)))) for _ in range(4000)]
    assert np.mean(wrong) == pytest.approx(1 - (1 - 0.05 / questions) ** questions, abs=0.012)
