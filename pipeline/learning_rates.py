"""Print docs/learning_rates.md from results/learning_rates/runs.csv: `python -m pipeline.learning_rates`."""

import math

import numpy as np
import pandas as pd

from pipeline.places import RESULTS

AT_L0 = (8, 11, 15)
HEAD = """# Learning rates

Each arm of `sweep=gated_vs_baseline` is trained with the best of five learning rates by its own front: the one with
the highest loss recovered, averaged over sites and over L0 of {at}, read off the arm's runs by linear interpolation
in log L0 (empty where the runs do not reach that L0: such a rate is not chosen).

| architecture | learning rate | {sites} | mean | chosen |
|---|---|{rule}---|---|"""
TAIL = """
Made by `python pipeline/run.py -m sweep=learning_rates`, `python pipeline/plot_pareto.py sweep=learning_rates` and
`python -m pipeline.learning_rates > docs/learning_rates.md`."""


def at_l0(runs: pd.DataFrame) -> float:
    """Loss recovered averaged over AT_L0; NaN where the runs do not bracket one of them."""
    ordered = runs.sort_values("l0")
    x, y = np.log(ordered["l0"].to_numpy()), ordered["loss_recovered"].to_numpy()
    targets = np.log(AT_L0)
    if not len(x) or targets[0] < x[0] or targets[-1] > x[-1]:
        return math.nan
    return float(np.interp(targets, x, y).mean())


def table(runs: pd.DataFrame) -> str:
    """One row an architecture and learning rate."""
    sites = sorted(runs["site"].unique())
    lines = [HEAD.format(at=", ".join(map(str, AT_L0)), sites=" | ".join(sites), rule="---|" * len(sites))]
    notes = []
    for name in sorted(runs["architecture"].unique()):
        arm = runs[runs["architecture"] == name]
        rows = {
            lr: [at_l0(same[same["site"] == site]) for site in sites] for lr, same in arm.groupby("train.lr")
        }  # fmt: skip
        means = {lr: float(np.mean(values)) for lr, values in rows.items()}
        best = max(means, key=lambda lr: -math.inf if math.isnan(means[lr]) else means[lr])
        for lr, values in rows.items():
            cells = " | ".join("" if math.isnan(v) else f"{v:.4f}" for v in [*values, means[lr]])
            lines.append(f"| {name} | {lr:g} | {cells} | {'yes' if lr == best else ''} |")
        if best in (min(means), max(means)):
            notes.append(
                f"The rate chosen for {name} is at the edge of those tried: one beyond it may be better still."
            )
    return "\n".join([*lines, "", *notes, TAIL] if notes else [*lines, TAIL])


if __name__ == "__main__":
    print(table(pd.read_csv(RESULTS / "learning_rates" / "runs.csv")))
