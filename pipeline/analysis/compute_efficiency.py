"""The compute-efficiency hit: what share of a language model's training compute its loss with an SAE is worth.

Proposed in the public discussion of the paper: how much less compute would a model of the same family need to be only
as good as this model is with the SAE spliced in? The family is a table of (training compute, loss) on the same text.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.analysis.curves import Floats
from pipeline.errors import UserError

COLUMNS = ("compute", "loss")


def read_family(path: Path) -> tuple[Floats, Floats]:
    """Compute, rising (in any unit), and loss, falling (nats per token), of a family of models.

    Raises:
        UserError: the file is absent, or lacks a column, or more compute does not always mean less loss.
    """
    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"family={path} cannot be read: expected a CSV with the columns {', '.join(COLUMNS)}"
        ) from error
    lacking = [name for name in COLUMNS if name not in rows]
    if lacking:
        raise UserError(f"family={path} has no column {lacking[0]}: expected {', '.join(COLUMNS)}")
    table = rows[list(COLUMNS)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    if len(table) < 2 or not np.isfinite(table).all() or (table <= 0).any():
        raise UserError(f"family={path}: expected at least two models, with compute and loss above 0")
    compute, loss = table[np.argsort(table[:, 0])].T
    if (np.diff(compute) <= 0).any() or (np.diff(loss) >= 0).any():
        raise UserError(f"family={path}: with more compute the loss must fall, from each model to the next")
    return compute, loss


def compute_for(loss: float, family: tuple[Floats, Floats]) -> float:
    """The compute at which the family reaches a loss: linear between neighbours in the logarithms of both.

    NaN outside the losses of the table, which is never extrapolated.
    """
    compute, losses = family
    if not losses[-1] <= loss <= losses[0]:
        return float("nan")
    return float(np.exp(np.interp(np.log(loss), np.log(losses[::-1]), np.log(compute[::-1]))))


def multiplier(ce_clean: float, ce_sae: float, family: tuple[Floats, Floats]) -> float:
    """Compute that is worth ce_sae over compute that is worth ce_clean; NaN unless the table brackets both."""
    return compute_for(ce_sae, family) / compute_for(ce_clean, family)


def compute_hits(runs: pd.DataFrame, family: tuple[Floats, Floats]) -> pd.DataFrame:
    """One row per finished run: its losses, the compute that each is worth, and the multiplier or why there is none."""
    done = runs[runs["status"] == "done"]
    rows = done[["run", "model", "site", "layer", "architecture", "l0", "ce_clean", "ce_sae"]].reset_index(drop=True)
    for name in ("clean", "sae"):
        rows[f"compute_{name}"] = [compute_for(float(loss), family) for loss in rows[f"ce_{name}"]]
    rows["multiplier"] = rows["compute_sae"] / rows["compute_clean"]
    low, high = family[1][-1], family[1][0]
    outside = f"the table's losses, {low:g} to {high:g}, do not bracket "
    rows["note"] = [
        "" if np.isfinite(share) else outside + ("ce_clean" if np.isnan(clean) else "ce_sae")
        for share, clean in zip(rows["multiplier"], rows["compute_clean"], strict=True)
    ]
    return rows
