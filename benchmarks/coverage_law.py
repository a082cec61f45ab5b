"""A law of sweeps whose truth is known: two arms whose fronts are straight lines in (log L0, loss recovered).

Runs scatter along their front (harmless: the ratio does not move) and, where training is noisy, off it. Lambdas are
unevenly spaced, some points tie exactly, sequences of one document share its quirks, documents differ in length and are
skewed.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

from pipeline.analysis.curves import fronts, interpolate
from pipeline.comparison import bootstrap
from pipeline.comparison.arms import Pair
from pipeline.comparison.documents import Documents
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.panel import Panel

PREDICTIONS = 254.0
Line = tuple[float, float]
"""Log L0 at loss recovered 0, and how it rises with it."""
BASELINE: Line = (0.35, 3.9)
BETTER: Line = (-0.6, 4.1)
CROSSING: Line = (-1.55, 6.2)
"""Needs fewer features below loss recovered 0.83, and more above."""
NOMINAL = (0.55, 0.62, 0.71, 0.78, 0.86, 0.92)
ALONG, OFF = 0.02, 0.04
"""Scatter of a run along its front, in loss recovered, and off it, in log L0."""


@dataclass(frozen=True)
class Law:
    """What is noisy, and by how much."""

    documents: int
    seeds: int = 1
    gap: float = 0.15  # nats between clean and zero-ablated losses
    text: bool = True  # whether documents scatter
    off: float = 0.0  # scatter of trainings off their front, in log L0
    ragged: bool = False  # runs lie off the line: the truth is the front of their own true points
    lines: dict[str, Line] = field(default_factory=lambda: {"baseline": BASELINE, "gated": BETTER})


def runs_of(law: Law, rng: np.random.Generator) -> pd.DataFrame:
    """True loss recovered and log L0 of every run; the third lambda of each arm is there twice, exactly alike."""
    rows = []
    for arm, (start, slope) in law.lines.items():
        shift = rng.uniform(-0.02, 0.02)
        between = [(low + high) / 2 for low, high in pairwise(NOMINAL)] if law.ragged else []
        for number, nominal in enumerate((*NOMINAL, *between)):
            for seed in range(law.seeds):
                y = nominal + shift + ALONG * rng.normal()
                x = start + slope * y + (OFF if law.ragged else law.off) * rng.normal()
                twice = (1.0, 1.5) if number == 2 else (1.0,)
                rows += [{"architecture": arm, "sparsity_coefficient": number + factor, "seed": seed, "y": y, "x": x}
                         for factor in twice]  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Text:
    """What the sums of all runs on one text have in common."""

    law: Law
    key: tuple[int, ...]

    def documents_of(self, runs: pd.DataFrame, training: int = 0) -> Documents:
        """Sums by document, with the expectations that the runs' truths ask for.

        Args:
            training: another number is another training on the same text.
        """
        rng, own_rng = np.random.default_rng([*self.key, 0]), np.random.default_rng([*self.key, 1, training])
        law, noisy = self.law, float(self.law.text)
        length = 1 + rng.negative_binomial(1.2, 0.08, law.documents)  # sequences of each document
        of_document = np.repeat(np.arange(law.documents), length)

        def text(rng: np.random.Generator, *shape: int) -> np.ndarray:
            return rng.normal(size=(*shape, law.documents)) * noisy

        def sequence(rng: np.random.Generator, *shape: int) -> np.ndarray:
            return rng.normal(size=(*shape, len(of_document))) * noisy

        def total(values: np.ndarray) -> np.ndarray:
            return np.stack([np.bincount(of_document, row, law.documents) for row in values]) * PREDICTIONS

        gap = law.gap * np.exp(0.5 * text(rng) - 0.125 * noisy)[of_document] * (1 + 0.2 * sequence(rng))
        clean = 3.3 + (0.3 * text(rng))[of_document] + 0.2 * sequence(rng)
        by_arm = {arm: (0.1 * text(rng))[of_document] + 0.1 * sequence(rng) for arm in law.lines}
        common = (0.15 * text(rng))[of_document] + 0.1 * sequence(rng)
        l0_common = (0.2 * text(rng))[of_document]
        own = (0.05 * text(own_rng, len(runs)))[:, of_document] + 0.1 * sequence(own_rng, len(runs))
        own_l0 = (0.05 * text(own_rng, len(runs)))[:, of_document] + 0.05 * sequence(own_rng, len(runs))
        first = runs.groupby(["architecture", "y"], sort=False).ngroup().to_numpy()  # ties tie on every sequence
        arms = np.stack([by_arm[arm] for arm in runs["architecture"]])
        y, x = runs["y"].to_numpy()[:, None], runs["x"].to_numpy()[:, None]
        excess = (1 - y) * gap * (1 + common + arms + own[first])
        l0 = np.exp(x) * (1 + l0_common + 0.5 * arms + own_l0[first])
        counts = total(np.ones((1, len(of_document))))[0]
        clean_sum, gap_sum = total(np.stack([clean, gap]))
        zero = dict.fromkeys(("zero", "mean"), clean_sum + gap_sum)
        return Documents(counts, counts, clean_sum, zero, total(l0), total(clean + excess))


def panel_of(runs: pd.DataFrame, sums: Documents, replicates: int, site: str = "s") -> Panel:
    """What `pipeline.comparison.compare` would have read from disk."""
    whole = np.ones((1, len(sums.predictions)))
    same = {"model": "m", "site": site, "layer": 0, "data.name": "d", "evaluation.id": "e"}
    pooled = {"ce_clean": sums.clean.sum(), "ce_zero": sums.ablated["zero"].sum(), "ce_sae": sums.sae.sum(1)}
    spliced = bootstrap.ce_sae(sums, whole, slice(None))
    recovered = bootstrap.loss_recovered(sums, whole, spliced, "zero")[0]
    table = runs.assign(
        **same, **{name: value / sums.predictions.sum() for name, value in pooled.items()}, d_sae=1024,
        ce_mean=pooled["ce_zero"] / sums.predictions.sum(), run=[f"r{n}" for n in range(len(runs))], gamma=1.0,
        alive_fraction=1.0, l0=bootstrap.l0(sums, whole, slice(None))[0], status="done",
        loss_recovered=recovered, loss_recovered_mean_ablation=recovered,
    )  # fmt: skip
    return Panel(same, table, sums, {}, bootstrap.weights(len(sums.predictions), replicates))


def true_differences(law: Law, panel: Panel, pair: Pair, found: Estimate) -> np.ndarray:
    """[places] the true log ratio along the estimated interval; NaN where the true fronts do not reach."""
    if not law.ragged:
        (start, slope), (other, other_slope) = law.lines["baseline"], law.lines["gated"]
        return start - other + (slope - other_slope) * found.at
    x, y = panel.runs["x"].to_numpy()[None], panel.runs["y"].to_numpy()[None]
    nodes = [fronts(arm.averaged(x), arm.averaged(y)) for arm in pair.fronts]
    first, second = (interpolate(along, wanted, found.at)[0] for wanted, along in nodes)
    return first - second


def true_median(true: np.ndarray, found: Estimate) -> float:
    """Of the true curve, over the interval or the part that the true fronts cover."""
    kept = np.isfinite(true)
    return found.median + float(np.median(true[kept]) - np.median(found.difference[kept]))
