"""How often the 95 % intervals cover a known truth: `make interval-coverage`, or with draws=N of your own.

Each draw makes the sums of two arms from a law whose fronts are straight lines in (log L0, loss recovered), takes the
table and the comparison that `plot_pareto.py` would make of them, and asks whether the truth over the interval of
fidelity that was estimated lies inside. Runs scatter along their front (harmless: the ratio does not move), lambdas are
unevenly spaced, some points tie exactly, sequences of one document share its quirks, documents differ in length and
are skewed. The last line is the coverage; the exit code is 1 where one is outside 93-97 %.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from pipeline.arguments import key_values, whole_number
from pipeline.comparison import bootstrap, tables
from pipeline.comparison.arms import Pair, fronts_of, pairs
from pipeline.comparison.compare import Panel, measure
from pipeline.comparison.documents import Documents
from pipeline.curves import fronts, read_off

LOW, HIGH = 0.93, 0.97
USUAL = {"draws": "1000", "replicates": "2000"}
PREDICTIONS = 254.0
FRONTS = {"baseline": (0.35, 3.9), "gated": (-0.6, 4.1)}
"""By arm: log L0 at loss recovered 0, and how it rises with it."""
NOMINAL = (0.55, 0.62, 0.71, 0.78, 0.86, 0.92)
ALONG, OFF = 0.02, 0.04
"""Scatter of a run along its front, in loss recovered, and in the seeds' case off it, in log L0."""


@dataclass(frozen=True)
class Case:
    """One law. Either the text is noisy and the runs lie on their fronts, or the other way round."""

    name: str
    noise: str  # sequences or seeds
    documents: int
    seeds: int
    gap: float  # nats between clean and zero-ablated losses
    ragged: bool = False  # runs lie off the line: the truth is the front of their own true points


CASES = (
    Case("25 documents, 1 seed, small gap", "sequences", 25, 1, 0.15),
    Case("25 documents, 3 seeds", "sequences", 25, 3, 2.0),
    Case("100 documents, 1 seed", "sequences", 100, 1, 0.15),
    Case("25 documents, ragged fronts of 12 points", "sequences", 25, 1, 0.15, ragged=True),
    Case("5 seeds", "seeds", 40, 5, 0.15),
    Case("8 seeds", "seeds", 40, 8, 2.0),
)


def runs_of(case: Case, rng: np.random.Generator) -> pd.DataFrame:
    """True loss recovered and log L0 of every run; the third lambda of each arm is there twice, exactly alike."""
    rows = []
    for arm, (start, slope) in FRONTS.items():
        shift = rng.uniform(-0.02, 0.02)
        between = [(low + high) / 2 for low, high in pairwise(NOMINAL)] if case.ragged else []
        for number, nominal in enumerate((*NOMINAL, *between)):
            for seed in range(case.seeds):
                y = nominal + shift + ALONG * rng.normal()
                x = start + slope * y + (OFF * rng.normal() if case.noise == "seeds" or case.ragged else 0.0)
                twice = (1.0, 1.5) if number == 2 else (1.0,)
                rows += [{"architecture": arm, "sparsity_coefficient": number + factor, "seed": seed, "y": y, "x": x}
                         for factor in twice]  # fmt: skip
    return pd.DataFrame(rows)


def documents_of(case: Case, runs: pd.DataFrame, rng: np.random.Generator) -> Documents:
    """Sums by document, with the expectations that the runs' truths ask for; exactly them in the case of seeds."""
    length = 1 + rng.negative_binomial(1.2, 0.08, case.documents)  # sequences of each document
    of_document = np.repeat(np.arange(case.documents), length)
    noisy = float(case.noise == "sequences")

    def text(*shape: int) -> np.ndarray:
        return rng.normal(size=(*shape, case.documents)) * noisy

    def sequence(*shape: int) -> np.ndarray:
        return rng.normal(size=(*shape, len(of_document))) * noisy

    def total(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(of_document, row, case.documents) for row in values]) * PREDICTIONS

    gap = case.gap * np.exp(0.5 * text() - 0.125 * noisy)[of_document] * (1 + 0.2 * sequence())
    clean = 3.3 + (0.3 * text())[of_document] + 0.2 * sequence()
    by_arm = {arm: (0.1 * text())[of_document] + 0.1 * sequence() for arm in FRONTS}
    common = (0.15 * text())[of_document] + 0.1 * sequence()
    own = (0.05 * text(len(runs)))[:, of_document] + 0.1 * sequence(len(runs))
    first = runs.groupby(["architecture", "y"], sort=False).ngroup().to_numpy()  # runs that tie, tie on every sequence
    arms = np.stack([by_arm[arm] for arm in runs["architecture"]])
    y, x = runs["y"].to_numpy()[:, None], runs["x"].to_numpy()[:, None]
    excess = (1 - y) * gap * (1 + common + arms + own[first])
    own_l0 = (0.05 * text(len(runs)))[:, of_document] + 0.05 * sequence(len(runs))
    l0 = np.exp(x) * (1 + (0.2 * text())[of_document] + 0.5 * arms + own_l0[first])
    counts = total(np.ones((1, len(of_document))))[0]
    clean_sum, gap_sum = total(np.stack([clean, gap]))
    zero = dict.fromkeys(("zero", "mean"), clean_sum + gap_sum)
    return Documents(counts, counts, clean_sum, zero, total(l0), total(clean + excess))


def panel_of(case: Case, rng: np.random.Generator, replicates: int) -> Panel:
    """What `pipeline.comparison.compare.panels` would have read from disk."""
    runs = runs_of(case, rng)
    sums = documents_of(case, runs, rng)
    whole = np.ones((1, case.documents))
    same = {"model": "m", "site": "s", "layer": 0, "data.name": "d", "evaluation.id": "e"}
    pooled = {"ce_clean": sums.clean.sum(), "ce_zero": sums.ablated["zero"].sum(), "ce_sae": sums.sae.sum(1)}
    recovered = bootstrap.loss_recovered(sums, whole, slice(None), "zero")[0]
    table = runs.assign(
        **same, **{name: value / sums.predictions.sum() for name, value in pooled.items()}, d_sae=1024,
        run=[f"r{n}" for n in range(len(runs))], alive_fraction=1.0, l0=bootstrap.l0(sums, whole, slice(None))[0],
        loss_recovered=recovered, loss_recovered_mean_ablation=recovered,
    )  # fmt: skip
    return Panel(same, table, sums, {}, bootstrap.weights(case.documents, replicates))


def covered(case: Case, rng: np.random.Generator, replicates: int) -> tuple[bool, list[bool]]:
    """Whether one draw's interval of the ratio covers the truth, and whether those of each run's loss recovered do."""
    panel = panel_of(case, rng, replicates if case.noise == "sequences" else 1)
    (pair,) = pairs(fronts_of(panel.runs))
    panel.measured.append(measure(panel, pair, "zero"))
    rows = tables.l0_ratios([panel])
    row = rows[rows["noise"] == case.noise].iloc[0]
    truth = np.exp(true_log_ratio(case, panel, pair))
    found = tables.run_intervals([panel])
    y = panel.runs["y"].to_numpy()
    inside = (found["loss_recovered_low"].to_numpy() <= y) & (y <= found["loss_recovered_high"].to_numpy())
    return bool(row["ratio_low"] <= truth <= row["ratio_high"]), inside.tolist()


def true_log_ratio(case: Case, panel: Panel, pair: Pair) -> float:
    """The median of the true log ratio over the estimated interval, or over the part that the true fronts cover."""
    curve = panel.measured[0].curve
    if curve is None:
        return np.nan
    if not case.ragged:
        (start, slope), (other, other_slope) = FRONTS["baseline"], FRONTS["gated"]
        return start - other + (slope - other_slope) * (curve.low + curve.high) / 2  # of a straight line
    x, y = panel.runs["x"].to_numpy()[None], panel.runs["y"].to_numpy()[None]
    nodes = [fronts(arm.averaged(x), arm.averaged(y)) for arm in (pair.baseline, pair.gated)]
    first, second = (read_off(along, wanted, curve.at)[0] for wanted, along in nodes)
    kept = np.isfinite(first - second)
    shift = np.median((first - second)[kept]) - np.median(curve.difference[0][kept])
    return curve.estimate + float(shift)


def coverages(draws: int, replicates: int) -> Iterator[tuple[str, float]]:
    """Of every case the share of draws that cover."""
    for number, case in enumerate(CASES):
        started = time.monotonic()
        results = [covered(case, np.random.default_rng([number, draw]), replicates) for draw in range(draws)]
        share = float(np.mean([ratio for ratio, _ in results]))
        seconds = time.monotonic() - started
        print(f"{case.noise}: {case.name}: ratio {share:.1%} of {draws} draws ({seconds:.0f} s)", flush=True)
        yield case.name, share
        if case.noise == "sequences":
            runs = float(np.mean([inside for _, inside in results]))
            print(f"{case.noise}: {case.name}: loss recovered of single runs {runs:.1%}", flush=True)
            yield f"{case.name}, single runs", runs


def main(arguments: list[str]) -> int:
    given = key_values(arguments, tuple(USUAL))
    draws, replicates = (whole_number(key, given.get(key, usual)) for key, usual in USUAL.items())
    found = dict(coverages(draws, replicates))
    wrong = {name: share for name, share in found.items() if not LOW <= share <= HIGH}
    for name, share in wrong.items():
        print(f"outside {LOW:.0%} to {HIGH:.0%}: {name}: {share:.1%}")
    shares = ", ".join(f"{share:.1%}" for share in found.values())
    print(f"interval coverage {'FAILED' if wrong else 'ok'}: {shares} of {draws} draws each, for 95 %")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
