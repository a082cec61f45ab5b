"""Tables of the page: every pair of fronts that is compared, one row per pair, with every kind of noise."""

from typing import Any

import pandas as pd

from pipeline.analysis.frontier import PANEL
from pipeline.comparison.noise import KINDS
from pipeline.report import cells
from pipeline.report.table import Column, Table, capped, plain, several, texts


def ratio_table(ratios: pd.DataFrame) -> Table:
    """l0_ratio.csv in short."""
    pairs = _pairs(ratios, "ratio")
    return capped("ratios", [
        *_which(pairs), Column("ablation", texts(pairs["ablation"]), ""),
        *_measured(pairs, "ratio_median", "ratio", "{:.2f}"),
        *_range(pairs, "fidelity", "loss recovered", "{:.4f}"),
    ])  # fmt: skip


def saved_table(savings: pd.DataFrame) -> Table:
    """saved.csv in short."""
    pairs = _pairs(savings, "saved")
    gap = Column("what ablating costs, nats", texts(pairs["ce_zero_minus_clean"], "{:.3f}"))
    measured = _measured(pairs, "saved_median", "nats saved", "{:.5f}")
    return capped("savings", [*_which(pairs), *measured, *_range(pairs, "l0", "L0", "{:.2f}"), gap])


def _pairs(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """One row per pair of fronts (and ablation): its names, and for each noise the interval or why there is none."""
    by = [
        name
        for name in (*PANEL, "reference", "candidate", "d_sae_reference", "d_sae_candidate", "ablation")
        if name in rows
    ]
    form = "{:.2f}" if value == "ratio" else "{:.5f}"
    found: list[dict[str, Any]] = []
    for _, group in rows.groupby(by, dropna=False, sort=False):
        row: dict[str, Any] = {str(name): cell for name, cell in group.iloc[0].items()}
        row["names"] = " + ".join(group["comparison"].unique())
        for noise in KINDS:
            one = group[group["noise"] == noise].iloc[0]
            ends = cells.interval(one[f"{value}_low"], one[f"{value}_high"], form)
            row[noise] = ends if ends != cells.NOTHING else one["note"]
        found.append(row)
    return pd.DataFrame(found, columns=[*rows, "names", *KINDS])


def _which(pairs: pd.DataFrame) -> list[Column]:
    named = [*several(pairs), "site", "layer"]
    widths = zip(pairs["d_sae_reference"], pairs["d_sae_candidate"], strict=True)
    return [
        *(plain(pairs, name, name) for name in named),
        Column(
            "arms", [f"{one} / {other}" for one, other in zip(pairs["reference"], pairs["candidate"], strict=True)], ""
        ),
        Column("widths", [f"{one} / {other}" for one, other in widths], ""),
        Column("fair by", texts(pairs["names"]), "words"),
    ]


def _measured(pairs: pd.DataFrame, median: str, heading: str, form: str) -> list[Column]:
    noises = (Column(f"95 %, over {noise}", texts(pairs[noise]), "words") for noise in KINDS)
    return [Column(heading, texts(pairs[median], form)), *noises]


def _range(pairs: pd.DataFrame, name: str, heading: str, form: str) -> list[Column]:
    return [Column(f"{heading} {word}", texts(pairs[f"{name}_{end}"], form))
            for word, end in (("from", "low"), ("to", "high"))]  # fmt: skip
