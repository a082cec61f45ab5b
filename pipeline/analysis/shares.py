"""Shares in tables, which are fractions here: percentages are told apart, and divided where the user says so."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analysis.table_numbers import Numbers
from pipeline.errors import UserError

SHARES = ("loss_recovered", "loss_recovered_mean_ablation", "alive_fraction", "dead_fraction")
"""Columns that are fractions here, and that others give in percent."""
LARGEST_USUAL = 1.5
"""Loss recovered may exceed 1, but a column with a median above this is in percent."""
LARGEST_SHARE = 1.001
NO_FRACTION = 10.0
USUAL_FRACTIONS = (0.5, 1.0)
"""Such a loss recovered, where another is above NO_FRACTION, is taken for a fraction, not for 1 percent or less."""


def to_fractions(rows: pd.DataFrame, numbers: Numbers, headed: set[str], percent: bool, path: Path) -> None:
    """Divide columns in percent by 100, in place.

    Args:
        headed: columns whose heading says percent.
        percent: whether the user says that shares are in percent.

    Raises:
        UserError: there are shares in percent and `percent` is false, or the other way round, or one column has both.
    """
    _check_signs(rows, numbers)
    signed = {*numbers.percent} | headed
    if not signed & {"loss_recovered"} and "ce_sae" not in rows:
        _check_one_unit(rows["loss_recovered"], path)
    there = [name for name in SHARES if name in rows]
    in_percent = [name for name in there if name in signed or _is_in_percent(rows, name)]
    if in_percent and not percent:
        values = rows[in_percent[0]]
        raise UserError(
            f"source={path}: {in_percent[0]} is in percent ({values.min():g} to {values.max():g}); give percent=true, "
            "or fractions (0.97 for 97 %)"
        )
    if percent and not in_percent:
        low, high = rows["loss_recovered"].min(), rows["loss_recovered"].max()
        raise UserError(f"percent=true, but loss_recovered in {path} is {low:g} to {high:g}: leave percent=true out")
    for name in in_percent:
        rows[name] /= 100


def _check_one_unit(values: "pd.Series[float]", path: Path) -> None:
    """Loss recovered is in percent or a fraction, in all rows alike."""
    large = values[values > NO_FRACTION]
    small = (
        values[values <= LARGEST_USUAL]
        if values.median() <= LARGEST_USUAL
        else values[values.between(*USUAL_FRACTIONS)]
    )
    if len(large) and len(small):
        raise UserError(
            f"source={path}, line {large.index[0]}: loss_recovered={large.iloc[0]:g} where other rows are fractions "
            f"({small.iloc[0]:g} in line {small.index[0]}): the column mixes fractions and percentages; write all rows "
            "in the same unit"
        )


def _check_signs(rows: pd.DataFrame, numbers: Numbers) -> None:
    """A column has percent signs throughout, or none."""
    for name, lines in numbers.percent.items():
        without = rows.index[rows[name].notna()].difference(pd.Index(lines))
        if len(without):
            raise UserError(f"{numbers.place(lines[0])}: {name} has a percent sign, which line {without[0]} has not")


def _is_in_percent(rows: pd.DataFrame, name: str) -> bool:
    """By the cross-entropies where they are known, else by the size of the numbers."""
    if name != "loss_recovered":
        return bool(rows[name].max() > (LARGEST_USUAL if name.startswith("loss") else LARGEST_SHARE))
    values, losses = rows[name], rows.reindex(columns=["ce_clean", "ce_sae", "ce_zero"])
    stated = (losses["ce_zero"] - losses["ce_sae"]) / (losses["ce_zero"] - losses["ce_clean"])
    if np.isfinite(stated).any():
        return bool((values / 100 - stated).abs().median() < (values - stated).abs().median())
    return bool(values.median() > LARGEST_USUAL)
