"""Random sweeps on disk, with all that goes wrong in real ones: ties, gaps, dead runs, texts on which nothing hangs."""

import math
from pathlib import Path

import numpy as np

from tests.factories import Sweep, Text

Points = list[tuple[float, float]]  # L0, loss recovered
SHAPES = ("falling", "grid", "wild", "touching", "narrow", "apart", "equal", "single")
EXACT = {"grid", "touching", "narrow", "equal"}
"""Shapes whose ties are exact: seeds do not move their points, and noise is the same for all runs."""


def write_random_sweep(number: int, sweeps_dir: Path) -> Sweep:
    """The sweep of this number: always the same."""
    rng = np.random.default_rng([20260, number])
    sweep, text = Sweep(sweeps_dir), _text(rng)
    for site in ("mlp_out", "resid_post")[: 1 + _happens(rng, 0.25)]:
        _write_site(rng, sweep, text, SHAPES[number % len(SHAPES)], site)
    if _happens(rng, 0.15):
        for record in sorted((sweeps_dir / "runs").glob("*/metrics.json")):
            sweep.prune(record.parent, {0.1: (0.9, 0.005), 0.3: (0.7, 0.04)})
    _take_away(rng, sweep)
    sweep.write("s")
    return sweep


def _happens(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def _text(rng: np.random.Generator) -> Text:
    """Of one to twelve documents, and now and then one in which ablation helps or hardly matters."""
    documents = int(rng.choice([1, 3, 6, 8, 12]))
    gap, spread = [(0.5, 0.0), (0.5, 0.1), (-0.3, 0.0), (0.02, 0.3)][int(rng.choice(4, p=[0.4, 0.3, 0.15, 0.15]))]
    text = Text(documents * int(rng.integers(1, 4)) + int(rng.integers(0, 3)), documents, gap=gap, spread=spread)
    if _happens(rng, 0.2):  # most of it one document
        text.document[: text.sequences // 2] = text.document[0]
    return text


def _write_site(rng: np.random.Generator, sweep: Sweep, text: Text, shape: str, site: str) -> None:
    arms: list[tuple[str, int]] = [("gated", 4), ("baseline", 6)]
    if _happens(rng, 0.3):
        arms.append(("topk", 4))
    if _happens(rng, 0.2):
        arms.append(("baseline", 4))
    seeds, missing = int(rng.choice([1, 1, 2, 3, 4, 5])), rng.choice([0.0, 0.0, 0.15])
    single, shapes = shape in EXACT, _points(rng, shape)
    for place, (architecture, expansion) in enumerate(arms):
        if _happens(rng, 0.05):
            sweep.absent(architecture, 90.0 + place + 10 * len(sweep.declared), text=text)
            continue
        alive = float(rng.choice([0.95, 0.95, 0.95, 0.5]))
        for lam, (l0, recovered) in enumerate(shapes[place % 2] if place < 2 else _points(rng, shape)[place % 2]):
            for seed in range(seeds):
                if _happens(rng, missing):
                    continue
                moved = (0.0, 0.0) if single else 0.03 * rng.normal(size=2)
                sweep.run(
                    architecture, lam + 1.0, l0 * math.exp(moved[0]), recovered + moved[1] / 3, text, seed, site,
                    expansion=expansion, noise=0.1, draw=seed if single else int(rng.integers(1 << 31)),
                    gamma=float(rng.choice([1.0, 0.9])), seconds=float(rng.choice([10.0, 10.5, 20.0])),
                    alive_fraction=alive,
                )  # fmt: skip
        _spoil(rng, sweep, text, site, (architecture, expansion), seeds)


def _spoil(rng: np.random.Generator, sweep: Sweep, text: Text, site: str, arm: tuple[str, int], seeds: int) -> None:
    """Now and then a dead run, alone or beside others, and one that gave no number."""
    for l0, recovered, seed in ((0.0, 0.0, seeds), (12.0, math.nan, seeds + 1)):
        if _happens(rng, 0.15):
            lam = float(rng.choice([1.0, 50.0]))
            sweep.run(arm[0], lam, l0, recovered, text, seed, site, expansion=arm[1])


def _points(rng: np.random.Generator, shape: str) -> tuple[Points, Points]:
    """Of the first arm and of the second."""
    if shape == "grid":
        return _grid(rng), _grid(rng)
    if shape == "wild":
        return _wild(rng), _wild(rng)
    if shape == "touching":
        other: Points = [(30.0, 0.8), (60.0, 0.95)] if _happens(rng, 0.5) else [(20.0, 0.7), (40.0, 0.75)]
        return [(10.0, 0.5), (20.0, 0.8)], other
    if shape == "narrow":
        return [(10.0, 0.5), (20.0, 0.8)], [(30.0, 0.8 - 10 ** -rng.uniform(2, 12)), (60.0, 0.95)]
    if shape == "apart":
        better, worse = [(5.0, 0.9), (10.0, 0.95)], [(20.0, 0.3), (float(rng.choice([8.0, 40.0])), 0.5)]
        return (better, worse) if _happens(rng, 0.5) else (worse, better)
    if shape == "equal":
        same = _wild(rng)
        return same, same
    if shape == "single":
        return _falling(rng, 1.0)[: 1 + _happens(rng, 0.5)], [(12.0, 0.65)]
    return _falling(rng, 1.0), _falling(rng, float(rng.choice([0.8, 2.0])))


def _falling(rng: np.random.Generator, factor: float) -> Points:
    count = int(rng.integers(2, 7))
    return [
        (factor * 5 * 2**n * math.exp(0.2 * rng.normal()), 0.6 + 0.1 * n + 0.03 * rng.normal()) for n in range(count)
    ]


def _grid(rng: np.random.Generator) -> Points:
    return [
        (float(rng.choice([5, 10, 20, 40])), float(rng.choice([0.25, 0.5, 0.75, 1.0])))
        for _ in range(int(rng.integers(0, 6)))
    ]


def _wild(rng: np.random.Generator) -> Points:
    return [(math.exp(rng.uniform(0, 6)), rng.uniform(-0.6, 1.6)) for _ in range(int(rng.integers(1, 9)))]


def _take_away(rng: np.random.Generator, sweep: Sweep) -> None:
    """Now and then the sequences of one run, of all of them, or the reference losses."""
    paths = sorted((sweep.sweeps_dir / "runs").glob("*/sequences.safetensors"))
    if paths and _happens(rng, 0.15):
        paths[int(rng.integers(len(paths)))].unlink()
    elif _happens(rng, 0.05):
        for path in paths:
            path.unlink()
    elif _happens(rng, 0.04):
        (sweep.sweeps_dir / "shared" / "ablated0.safetensors").unlink(missing_ok=True)
