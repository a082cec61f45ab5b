"""Gamma of both arms from records on disk: which points count, and intervals against a bootstrap by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.analysis.table import read_sweep
from pipeline.comparison import bootstrap
from pipeline.comparison.compare import Compared, panels
from pipeline.comparison.noise import Noise
from pipeline.comparison.shrinkage import Shrinkage
from pipeline.comparison.t_distribution import t_quantile
from tests.factories import Sweep

REPLICATES = 80
POINTS = ((5, 0.6), (10, 0.75), (20, 0.85), (40, 0.92))


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def train(sweep: Sweep, arm: str, gammas: tuple[float, ...], seed: int = 0, alive: float = 0.95) -> list[Path]:
    return [
        sweep.run(arm, 4.0 - number, l0, recovered, seed=seed, gamma=gamma, alive_fraction=alive, noise=0.05)
        for number, ((l0, recovered), gamma) in enumerate(zip(POINTS, gammas, strict=True))
    ]


def measured(sweep: Sweep) -> Shrinkage:
    sweep.write("s")
    (one,) = panels(read_sweep(sweep.sweeps_dir, "s"), sweep.sweeps_dir, REPLICATES)
    assert isinstance(one, Compared)
    (found,) = one.shrinkages
    return found


def test_intervals_equal_a_bootstrap_by_hand(sweep: Sweep) -> None:
    gammas = (1.03, 0.99, 0.96, 1.0)
    folders = train(sweep, "gated", gammas)
    train(sweep, "baseline", (0.8,) * 4)
    found = measured(sweep)
    document = load_file(sweep.sweeps_dir / "shared" / "clean0.safetensors")["document"]
    names = np.unique(document)
    sums = [load_file(folder / "sequences.safetensors") for folder in folders]

    def redrawn(times: np.ndarray) -> np.ndarray:
        """Gamma of every point over documents, each counted so many times."""
        count = times[np.searchsorted(names, document)]
        return np.array([(count * one["xhat_xhat"]).sum() / (count * one["x_xhat"]).sum() for one in sums])

    drawn = np.array([redrawn(times) for times in bootstrap.weights(len(names), REPLICATES)])
    for measurement, values, truth in (
        (found.candidate, drawn.mean(1), 0.995),
        (found.bias, np.abs(drawn - 1).mean(1), 0.02),
    ):
        assert measurement is not None and measurement.value == pytest.approx(truth)
        factor = t_quantile(0.975, 11) / 1.959964 * math.sqrt(12 / 11)
        ends = measurement.value + factor * np.quantile(values[1:] - values[0], [0.025, 0.975])
        assert measurement.noise.interval(measurement.value, "sequences") == pytest.approx(tuple(ends), rel=1e-6)
    assert found.reference is not None and found.reference.value == pytest.approx(0.8)


def test_points_that_are_dominated_or_half_dead_do_not_count(sweep: Sweep) -> None:
    train(sweep, "gated", (1.0, 1.0, 1.0, 1.0))
    sweep.run("gated", 9.0, 30, 0.5, gamma=0.1)  # dominated
    sweep.run("gated", 8.0, 80, 0.97, gamma=0.1, alive_fraction=0.89)
    train(sweep, "baseline", (0.9, 0.9, 0.9, 0.5))
    found = measured(sweep)
    assert found.points == (4, 4) and found.note == ""
    assert found.candidate is not None and found.candidate.value == pytest.approx(1.0)
    assert found.reference is not None and found.reference.value == pytest.approx(0.8)


def test_a_point_without_gamma_does_not_count(sweep: Sweep) -> None:
    train(sweep, "gated", (1.0, 1.0, 1.0, math.nan))
    train(sweep, "baseline", (0.9,) * 4)
    assert measured(sweep).points == (4, 3)


@pytest.mark.parametrize(
    ("alive", "note"),
    [
        (0.89, "0 of gated's points have 90% of their features alive, 3 are needed"),
        (math.nan, "how many features of gated are alive is unknown"),
    ],
)  # fmt: skip
def test_without_live_features_there_is_a_reason(sweep: Sweep, alive: float, note: str) -> None:
    train(sweep, "gated", (1.0,) * 4, alive=alive)
    train(sweep, "baseline", (0.9,) * 4)
    found = measured(sweep)
    assert found.note == note and found.candidate is found.reference is found.bias is None


def test_seeds_give_the_jackknife_of_their_mean(sweep: Sweep) -> None:
    """All points of a seed share its gamma: the mean over points is linear in the seeds."""
    of_seed = (0.98, 1.0, 1.03, 1.01)
    for seed, gamma in enumerate(of_seed):
        train(sweep, "gated", (gamma,) * 4, seed)
        train(sweep, "baseline", (0.9,) * 4, seed)
    found = measured(sweep)
    assert found.candidate is not None and found.candidate.noise.training is not None and found.n_seeds == 4
    assert found.candidate.value == pytest.approx(np.mean(of_seed))
    assert found.candidate.noise.training.error == pytest.approx(np.std(of_seed, ddof=1) / 2)
    assert found.reference is not None and found.reference.noise.training is not None
    assert found.reference.noise.training.error == pytest.approx(0, abs=1e-12)


def test_older_records_without_the_sums_have_no_interval(sweep: Sweep) -> None:
    folders = [*train(sweep, "gated", (1.0,) * 4), *train(sweep, "baseline", (0.9,) * 4)]
    for folder in folders:
        sums = load_file(folder / "sequences.safetensors")
        kept = {name: values for name, values in sums.items() if name not in {"x_xhat", "xhat_xhat"}}
        save_file(kept, folder / "sequences.safetensors")
    found = measured(sweep)
    assert found.candidate is not None and found.candidate.value == pytest.approx(1.0)
    assert found.candidate.noise == Noise()
