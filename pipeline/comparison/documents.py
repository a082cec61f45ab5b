"""What one panel's runs left for every document: sums of L0 and of cross-entropies over its held-out sequences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.analysis.curves import Floats
from pipeline.errors import DamagedFile
from pipeline.storage.layout import METRICS, SEQUENCES, evaluation_folder, run_folder, shared_folder
from pipeline.storage.reading import read_arrays

ABLATIONS = ("zero", "mean")
PER_SEQUENCE, NORMS = ("tokens", "l0", "ce_sae"), ("xhat_xhat", "x_xhat")
CLEAN, ABLATED = ("document", "predictions", "ce_clean"), ("ce_zero", "ce_mean")
ROUNDING = 1e-4
TOLERANCE = 1e-6
"""Relative difference up to which sums give the metrics of the record; beyond it the two are not of one evaluation."""


AGAIN = "and the command that launches it evaluates the run again"


class Unusable(Exception):
    """The sequences of a run cannot be paired with those of the others, for this reason."""


@dataclass(frozen=True)
class Documents:
    """Sums over the sequences of each document; rows are runs, columns documents. Cross-entropies in nats."""

    tokens: Floats  # [documents]
    predictions: Floats  # [documents]
    clean: Floats  # [documents]
    ablated: dict[str, Floats]  # by ablation: [documents]
    l0: Floats  # [runs, documents]
    sae: Floats  # [runs, documents]
    xhat_xhat: Floats | None = None  # [runs, documents] sums of ||x_hat||^2, NaN where a run has none
    x_xhat: Floats | None = None  # [runs, documents] of x . x_hat

    @property
    def effective(self) -> float:
        """Effective number of documents, (sum n)^2 / sum n^2: as many of equal length would give a mean as precise."""
        return float(self.predictions.sum() ** 2 / (self.predictions**2).sum())


def record_path(sweeps_dir: Path, run: str, evaluation: str) -> Path:
    """The folder of a run's record for one evaluation."""
    folder = run_folder(sweeps_dir, run)
    later = evaluation_folder(folder, evaluation)
    return later if (later / METRICS).is_file() else folder


def read_documents(sweeps_dir: Path, runs: pd.DataFrame) -> tuple[Documents | None, dict[str, str]]:
    """The sums of one panel's finished runs, in their order, and for each run without usable ones the reason.

    A run that has none has NaN in its row; where no run has any, or the references are gone, there is nothing. Where
    the table has a column `place`, rows with one are of a run that was pruned, at the threshold of that number.
    """
    try:
        base = _references(shared_folder(sweeps_dir), runs)
    except Unusable as error:
        return None, dict.fromkeys(runs["run"], str(error))
    of_document = np.unique(base["document"], return_inverse=True)[1]
    totals = {name: np.bincount(of_document, base[name]).astype(float) for name in base if name != "document"}
    count, tokens, reasons = len(totals["predictions"]), None, {}
    l0, sae, *norms = np.full((2 + len(NORMS), len(runs), count), np.nan)
    places = runs["place"] if "place" in runs else [None] * len(runs)
    columns = [runs[name] for name in ("run", "evaluation.id", "l0", "ce_sae")]
    for number, (run, evaluation, recorded_l0, recorded_ce, place) in enumerate(zip(*columns, places, strict=True)):
        try:
            path = record_path(sweeps_dir, run, evaluation) / SEQUENCES
            found = _arrays(path, PER_SEQUENCE, NORMS) if pd.isna(place) else _pruned(path, int(place))
            sums = _checked_sums(found, of_document, tokens)
            _agree(sums["l0"].sum() / sums["tokens"].sum(), recorded_l0, "L0")
            _agree(sums["ce_sae"].sum() / totals["predictions"].sum(), recorded_ce, "cross-entropy")
        except Unusable as error:
            reasons[run] = str(error)
            continue
        tokens, l0[number], sae[number] = sums["tokens"], sums["l0"], sums["ce_sae"]
        for kept, name in zip(norms, NORMS, strict=True):
            kept[number] = sums.get(name, np.nan)
    if tokens is None:
        return None, reasons
    ablated = {name: totals[f"ce_{name}"] for name in ABLATIONS}
    return Documents(tokens, totals["predictions"], totals["ce_clean"], ablated, l0, sae, *norms), reasons


def _references(folder: Path, runs: pd.DataFrame) -> dict[str, Floats]:
    """Clean and ablated losses, predictions and documents of the sequences that all these runs were evaluated on."""
    named = runs[["evaluation.clean", "evaluation.ablated"]]
    if named.isna().to_numpy().any():
        raise Unusable("its record names no reference losses")
    clean, ablated = (
        [_arrays(folder / f"{name}.safetensors", arrays) for name in named[column].unique()]
        for column, arrays in (("evaluation.clean", CLEAN), ("evaluation.ablated", ABLATED))
    )
    for found in (clean, ablated):
        if any(not _alike(found[0], other) for other in found[1:]):
            raise Unusable(f"runs of its panel refer to {len(found)} sets of reference losses that differ")
    together = clean[0] | ablated[0]
    if len({len(values) for values in together.values()}) != 1:
        raise Unusable("its clean and ablated losses are of different numbers of sequences")
    return together


def _alike(first: dict[str, Floats], second: dict[str, Floats]) -> bool:
    """Whether two sets of losses are the same but for rounding: the means that ablate may be of different machines."""
    return all(first[n].shape == second[n].shape and np.allclose(first[n], second[n], rtol=ROUNDING) for n in first)


def _arrays(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Floats]:
    """Arrays of a safetensors file, and those of `optional` that it has; others in it are not read."""
    try:
        found = read_arrays(path)
        return {name: found[name] for name in names} | {name: found[name] for name in optional if name in found}
    except FileNotFoundError as error:
        raise Unusable(f"{path.name} is absent") from error
    except DamagedFile as error:
        raise Unusable(f"{path.name} cannot be read ({error.why}): delete it, {AGAIN}") from error
    except (OSError, KeyError) as error:
        raise Unusable(f"{path.name} cannot be read") from error


def _pruned(path: Path, place: int) -> dict[str, Floats]:
    """As `_arrays`, of a run that was pruned at its threshold of that number; its tokens are the same."""
    pruned = [f"pruned_{name}" for name in (*PER_SEQUENCE[1:], *NORMS)]
    found = _arrays(path, ("tokens", *pruned[:2]), pruned[2:])
    if place >= len(found["pruned_l0"]):
        raise Unusable(f"{path.name} has {len(found['pruned_l0'])} thresholds, and its record more")
    at_place = {name.removeprefix("pruned_"): found[name][place] for name in pruned if name in found}
    return {"tokens": found["tokens"]} | at_place


def _checked_sums(
    found: dict[str, Floats], of_document: npt.NDArray[np.intp], tokens: Floats | None
) -> dict[str, Floats]:
    """Sums by document of one run's sequences, which must be those of the references and of the other runs."""
    if any(len(values) != len(of_document) for values in found.values()):
        raise Unusable(f"it has {len(found['tokens'])} sequences where the references have {len(of_document)}")
    sums = {name: np.bincount(of_document, values).astype(float) for name, values in found.items()}
    if tokens is not None and not np.array_equal(sums["tokens"], tokens):
        raise Unusable("its sequences have other lengths than those of the other runs")
    return sums


def _agree(found: float, recorded: float, what: str) -> None:
    if not np.isclose(found, recorded, rtol=TOLERANCE, atol=0):
        raise Unusable(
            f"its sequences give another {what} ({found:.6g}) than its record ({recorded:.6g}): "
            f"delete its {SEQUENCES}, {AGAIN}"
        )
