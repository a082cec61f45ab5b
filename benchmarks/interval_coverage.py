"""Do intervals and verdicts do what docs/statistics.md says? `make interval-coverage`, or with draws=N of your own.

Each draw makes the sums of two arms from a law whose fronts are straight lines in (log L0, loss recovered)
(benchmarks/coverage_law.py), compares them as `plot_pareto.py` would, and asks whether the truth lies inside, and
whether a verdict was wrong. The last line has every share; the exit code is 1 where one is outside its limits.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.coverage_law import (
    BASELINE,
    CROSSING,
    OFF,
    Law,
    Text,
    panel_of,
    runs_of,
    true_differences,
    true_median,
)  # fmt: skip
from pipeline.cli.options import key_values, whole_number
from pipeline.comparison import tables
from pipeline.comparison.along import RATIO
from pipeline.comparison.arms import Arms, Pair, fronts_of, pairs
from pipeline.comparison.compare import Compared, compare
from pipeline.comparison.direction import ABOVE, UNDECIDED
from pipeline.comparison.direction import CROSSING as CROSSES
from pipeline.comparison.estimate import Estimate, estimate
from pipeline.comparison.family import answered, holm
from pipeline.comparison.noise import Kind
from pipeline.comparison.panel import Panel
from pipeline.comparison.questions import ABOUT_HALF, CONTRADICTED, DIRECTION, HALF, answers

USUAL = {"draws": "1000", "replicates": "1000", "processes": str(min(os.cpu_count() or 1, 2))}
COVERED, AT_LEAST, AT_MOST = (0.93, 0.97), (0.93, 1.0), (0.0, 0.05)
PANELS = (1, 3, 12, 27)
"""Of the sweeps whose false verdicts are counted."""
EQUAL = {"baseline": BASELINE, "gated": BASELINE}
CROSS = {"baseline": BASELINE, "gated": CROSSING}
OUTSIDE = {"baseline": BASELINE, "gated": (BASELINE[0] - np.log(ABOUT_HALF[0] - 1e-6), BASELINE[1])}
"""All along, the ratio lies just outside of what counts as about half."""
NOISY = 0.12
"""Scatter of trainings that moves a ratio from one seed 1.4 times as far as the text does."""


@dataclass(frozen=True)
class Case:
    """One law, and which interval of the ratio is to cover its truth."""

    name: str
    law: Law
    kind: Kind
    judged: bool = True  # False: printed for what it is, and held to nothing


CASES = (
    Case("text: 25 documents, 1 seed, small gap", Law(25), "sequences"),
    Case("text: 25 documents, 3 seeds", Law(25, 3, 2.0), "sequences"),
    Case("text: 100 documents, 1 seed", Law(100), "sequences"),
    Case("text: 25 documents, ragged fronts of 12 points", Law(25, ragged=True), "sequences"),
    Case("training: 3 seeds", Law(40, 3, text=False, off=OFF), "seeds"),
    Case("training: 5 seeds", Law(40, 5, text=False, off=OFF), "seeds"),
    Case("training: 8 seeds", Law(40, 8, 2.0, text=False, off=OFF), "seeds"),
    Case("both: 3 seeds", Law(25, 3, off=OFF), "both"),
    Case("both: 5 seeds", Law(25, 5, off=OFF), "both"),
    Case("both: 3 seeds, noisy training", Law(25, 3, off=NOISY), "both"),
    Case("both: 5 seeds, noisy training", Law(25, 5, off=NOISY), "both"),
    Case("both: 5 seeds, crossing fronts", Law(25, 5, off=OFF, lines=CROSS), "both"),
    Case("both: 5 seeds, equal arms", Law(25, 5, off=NOISY, lines=EQUAL), "both"),
    Case("1 seed, noisy training, equal arms, by the text alone", Law(25, off=NOISY, lines=EQUAL), "sequences", False),
)


@dataclass(frozen=True)
class Family:
    """Panels of one law, and which directions are no error there; in none is the ratio about half."""

    law: Law
    right: str = UNDECIDED


FAMILIES = {
    "equal arms, 5 seeds": Family(Law(25, 5, off=NOISY, lines=EQUAL)),
    "equal arms, 3 seeds": Family(Law(25, 3, off=NOISY, lines=EQUAL)),
    "crossing fronts, 5 seeds": Family(Law(25, 5, off=OFF, lines=CROSS), CROSSES),
    "a ratio just outside about half, 5 seeds": Family(Law(25, 5, off=OFF, lines=OUTSIDE), ABOVE),
}


@dataclass(frozen=True)
class Drawn:
    """One draw of a case."""

    covered: bool  # the ratio
    band: bool  # the whole curve
    repeat: bool | None  # another training on the same text; None with too few seeds
    runs: list[bool]  # loss recovered of each run


def read(law: Law, key: tuple[int, ...], replicates: int, training: int = 0) -> tuple[Panel, Pair, Estimate]:
    """One draw's panel, compared by zero ablation.

    Args:
        training: another number is another training on the same text.
    """
    runs = runs_of(law, np.random.default_rng([*key, 2, training]))
    panel = panel_of(runs, Text(law, key).documents_of(runs, training), replicates)
    (pair,) = pairs(fronts_of(panel.runs), Arms())
    found = estimate(RATIO, panel, pair, "zero")
    assert found is not None
    return panel, pair, found


def error_of(law: Law, panel: Panel, pair: Pair, found: Estimate) -> float:
    """The estimate less the truth."""
    return found.median - true_median(true_differences(law, panel, pair, found), found)


def drawn(case: Case, replicates: int, key: tuple[int, int]) -> Drawn:
    law = case.law
    panel, pair, found = read(law, key, replicates)
    low, high = found.noise.interval(0.0, case.kind)
    error = error_of(law, panel, pair, found)
    true = true_differences(law, panel, pair, found)
    known = np.isfinite(true)
    assert found.band is not None
    inside = np.abs(found.difference - true)[known] <= found.band.half_width()[known] + 1e-12
    intervals = tables.run_intervals([Compared(panel, Arms())])
    y = panel.runs["y"].to_numpy()
    of_runs = (intervals["loss_recovered_low"].to_numpy() <= y) & (y <= intervals["loss_recovered_high"].to_numpy())
    return Drawn(low <= -error <= high, bool(inside.all()), _repeats(law, key, found, error), of_runs.tolist())


def _repeats(law: Law, key: tuple[int, int], found: Estimate, error: float) -> bool | None:
    """Whether another training's ratio lies in the interval that was given for it."""
    low, high = found.noise.repeat(0.0)
    if not np.isfinite(low):
        return None
    return bool(low <= error_of(law, *read(law, key, 1, training=1)) - error <= high)


def asked(family: Family, replicates: int, key: tuple[int, int]) -> list[tuple[float, bool]]:
    """p-values of one panel's questions, and whether an answer would be wrong."""
    runs = runs_of(family.law, np.random.default_rng([*key, 2, 0]))
    panel = panel_of(runs, Text(family.law, key).documents_of(runs), replicates)
    compared = Compared(panel, Arms())
    compare(compared)
    right = {DIRECTION: {family.right, UNDECIDED}, HALF: {CONTRADICTED, UNDECIDED}}
    return [(a.p, a.would_say not in right[a.question]) for a in answers([compared]) if a.question in right]


def false_verdicts(questions: Sequence[list[tuple[float, bool]]], panels: int, sweeps: int) -> float:
    """Share of sweeps of so many panels, put together from those drawn, in which Holm leaves a wrong answer."""
    rng, wrong = np.random.default_rng(panels), 0
    for _ in range(sweeps):
        chosen = [one for place in rng.permutation(len(questions))[:panels] for one in questions[place]]
        levels = holm(np.array([p for p, _ in chosen]))
        wrong += any(answered(level) and is_wrong for level, (_, is_wrong) in zip(levels, chosen, strict=True))
    return wrong / sweeps


def shares(draws: int, replicates: int, pool: ProcessPoolExecutor) -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Every share, with its limits."""
    for number, case in enumerate(CASES):
        started, keys = time.monotonic(), [(number, draw) for draw in range(draws)]
        results = list(pool.map(partial(drawn, case, replicates), keys, chunksize=10))
        limits = COVERED if case.judged else (0.0, 1.0)
        repeats = [result.repeat for result in results if result.repeat is not None]
        print(f"{case.name} ({time.monotonic() - started:.0f} s)", flush=True)
        yield f"{case.name}: ratio", float(np.mean([result.covered for result in results])), limits
        if case.judged:
            yield f"{case.name}: band", float(np.mean([result.band for result in results])), AT_LEAST
        if repeats:
            yield f"{case.name}: another training", float(np.mean(repeats)), limits
        if case.kind == "sequences" and case.judged:
            yield f"{case.name}: single runs", float(np.mean([inside for r in results for inside in r.runs])), limits
    for number, (name, family) in enumerate(FAMILIES.items()):
        keys = [(100 + number, draw) for draw in range(draws)]
        questions = list(pool.map(partial(asked, family, replicates), keys, chunksize=10))
        for panels in PANELS:
            if panels <= draws:
                yield f"{name}: a false verdict in sweeps of {panels}", false_verdicts(questions, panels, 2000), AT_MOST


def main(arguments: list[str]) -> int:
    given = key_values(arguments, tuple(USUAL))
    draws, replicates, processes = (whole_number(key, given.get(key, usual)) for key, usual in USUAL.items())
    found, wrong = [], []
    with ProcessPoolExecutor(processes) as pool:
        for name, share, (low, high) in shares(draws, replicates, pool):
            print(f"  {name}: {share:.1%}", flush=True)
            found.append(f"{share:.1%}")
            if not low <= share <= high:
                wrong.append(f"{name}: {share:.1%}, expected {low:.0%} to {high:.0%}")
    for line in wrong:
        print(f"outside its limits: {line}")
    print(f"interval coverage {'FAILED' if wrong else 'ok'}: {', '.join(found)} of {draws} draws each")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
