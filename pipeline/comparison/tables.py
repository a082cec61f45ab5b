"""The comparison as tables: ratios with their curve, cross-entropy saved, verdicts, intervals of single runs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.curves import Floats, as_ratio
from pipeline.analysis.frontier import PANEL
from pipeline.analysis.table import FIRST
from pipeline.comparison import bootstrap
from pipeline.comparison.along import RATIO, SAVED
from pipeline.comparison.arms import Pair
from pipeline.comparison.compare import Compared
from pipeline.comparison.estimate import Estimate
from pipeline.comparison.measure import Measured
from pipeline.comparison.noise import KINDS, Kind
from pipeline.comparison.panel import DELTA_CE, LOSS_RECOVERED, Panel
from pipeline.comparison.questions import NOT_JUDGED, Answer, asks_half

WHICH = ("model", "site", "layer", "reference", "candidate", "comparison")
FURTHER = (
    "alive_reference", "alive_candidate", "d_sae_reference", "d_sae_candidate", "effective_reference",
    "effective_candidate", "alive_reference_lowest", "alive_candidate_lowest", "data.name", "evaluation.id", "note",
)  # fmt: skip
RATIOS = (
    *WHICH, "ablation", "noise", "n_seeds", "ratio_median", "ratio_low", "ratio_high", "ratio_repeat_low",
    "ratio_repeat_high", "fidelity", "fidelity_low", "fidelity_high", "narrow", *FURTHER,
)  # fmt: skip
SAVINGS = (
    *WHICH, "noise", "n_seeds", "saved_median", "saved_low", "saved_high", "saved_repeat_low", "saved_repeat_high",
    "l0_low", "l0_high", "ce_zero_minus_clean", *FURTHER,
)  # fmt: skip
CURVE = (
    *WHICH, "scenario", "ablation", "fidelity", "at", "l0_reference", "l0_candidate", "ratio", "ratio_low",
    "ratio_high", "noise", "about_half_judged", "d_sae_reference", "d_sae_candidate", "data.name", "evaluation.id",
)  # fmt: skip
VERDICTS = (
    *WHICH, "scenario", "question", "verdict", "leaning", "p", "p_adjusted", "questions", "trainings_measured", "said",
    "left_out", "unfinished", "tokens_candidate_over_reference", "d_sae_reference", "d_sae_candidate", "data.name",
    "evaluation.id",
)  # fmt: skip
DOCUMENTS = ("model", "data.name", "evaluation.id", "document", "tokens")
RUNS_AT_ONCE = 100
SMALLEST_P = 0.001
"""Smaller levels are written as this one: they rest on tails that neither draws nor seeds show."""


def l0_ratios(compared: Iterable[Compared]) -> pd.DataFrame:
    """One row per pair of fronts, name, ablation and kind of noise; above 1: the candidate needs fewer features."""
    rows = []
    for panel, measured in _each(compared, RATIO):
        found = measured.estimate
        ends = (np.nan, np.nan) if found is None else (found.low, found.high)
        common = {
            "ablation": measured.ablation, "fidelity": fidelity_of(measured),
            "fidelity_low": ends[0], "fidelity_high": ends[1], "narrow": found.narrow if found else False,
        }  # fmt: skip
        for kind in KINDS:
            rows += _rows(panel, measured, kind, common | _numbers(found, kind, "ratio", as_ratio))
    return _sorted(rows, RATIOS)


def savings(compared: Iterable[Compared]) -> pd.DataFrame:
    """As `l0_ratios`, for the fidelity that the candidate saves at equal L0, nats per prediction (above 0: better).

    Where no cross-entropies are known, loss recovered.
    """
    rows = []
    for panel, measured in _each(compared, SAVED):
        found = measured.estimate
        ends = (np.nan, np.nan) if found is None else (np.exp(found.low), np.exp(found.high))
        gap = float((panel.runs["ce_zero"] - panel.runs["ce_clean"]).mean())
        common = {"ce_zero_minus_clean": gap, "l0_low": ends[0], "l0_high": ends[1]}
        for kind in KINDS:
            rows += _rows(panel, measured, kind, common | _numbers(found, kind, "saved", np.asarray))
    return _sorted(rows, SAVINGS)


def _each(compared: Iterable[Compared], kind: str) -> list[tuple[Panel, Measured]]:
    return [(one.panel, measured) for one in compared for measured in one.measured if measured.kind == kind]


def _with_scenario(compared: Iterable[Compared]) -> list[tuple[str, Panel, Measured]]:
    ratios = [(one.scenario, one.panel, measured) for one in compared for measured in one.measured]
    return [each for each in ratios if each[2].kind == RATIO]


def fidelity_of(measured: Measured) -> str:
    """What a ratio was read along; minus the cross-entropy added where loss recovered was refused."""
    return "delta_ce" if measured.fidelity == DELTA_CE else "loss_recovered"


def _numbers(found: Estimate | None, kind: Kind, name: str, scale: Any) -> dict[str, float]:
    """The estimate, its interval, and the range for a repeat with new seeds."""
    if found is None:
        values: Sequence[float] = [np.nan] * 5
    else:
        repeat = found.noise.repeat(found.median) if kind == "seeds" else (np.nan, np.nan)
        values = scale(np.array([found.median, *found.noise.interval(found.median, kind), *repeat]))
    names = ("median", "low", "high", "repeat_low", "repeat_high")
    return {f"{name}_{part}": float(value) for part, value in zip(names, values, strict=True)}


def of_pair(panel: Panel, pair: Pair) -> list[dict[str, Any]]:
    """What names a pair of fronts, once under each of its names; once where it has none. An unknown width is None."""
    return [
        {
            **panel.key, "reference": pair.reference.architecture, "candidate": pair.candidate.architecture,
            "comparison": name, "d_sae_reference": pair.reference.d_sae or None,
            "d_sae_candidate": pair.candidate.d_sae or None,
        }
        for name in pair.names or ("",)
    ]  # fmt: skip


def _rows(panel: Panel, measured: Measured, kind: Kind, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The row of a pair under each of its names."""
    found = measured.estimate
    common: dict[str, Any] = {**values, "noise": kind, "n_seeds": found.n_seeds if found else 0}
    for arm, alive, effective in zip(("reference", "candidate"), measured.alive, measured.effective, strict=True):
        common |= {f"alive_{arm}": alive.mean(), f"alive_{arm}_lowest": alive.min()} if alive.size else {}
        common |= {f"effective_{arm}": effective.mean()} if effective.size else {}
    notes = found.notes if found else {}
    asked = ("sequences", "seeds") if kind == "both" else (kind,)
    common["note"] = measured.note or "; ".join(notes[name] for name in asked if name in notes)
    return [common | named for named in of_pair(panel, measured.pair)]


def curves(compared: Iterable[Compared]) -> pd.DataFrame:
    """The ratio along fidelity with its simultaneous band, as far as the ratio reaches."""
    frames = []
    for scenario, panel, measured in _with_scenario(compared):
        found = measured.estimate
        if found is None:
            continue
        half = np.full(len(found.at), np.nan) if found.band is None else found.band.half_width()
        for named in of_pair(panel, measured.pair):
            frames.append(pd.DataFrame({
                **named, "scenario": scenario, "ablation": measured.ablation, "about_half_judged": asks_half(measured),
                "fidelity": fidelity_of(measured), "at": found.at,
                "l0_reference": np.exp(found.reference), "l0_candidate": np.exp(found.candidate),
                "ratio": np.exp(found.difference), "ratio_low": as_ratio(found.difference - half),
                "ratio_high": as_ratio(found.difference + half),
                "noise": "" if found.band is None else "both" if found.noise.training else "sequences",
            })[list(CURVE)])  # fmt: skip
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(CURVE))


def verdicts(answers: Iterable[Answer]) -> pd.DataFrame:
    """One row per question about a pair of fronts, and name: what it leans to, its level, and the verdict."""
    rows = [named | _verdict(answer) for answer in answers for named in of_pair(answer.panel, answer.pair)]
    return _sorted(rows, VERDICTS).astype(dict.fromkeys(("d_sae_reference", "d_sae_candidate"), "Int64"))


def _verdict(answer: Answer) -> dict[str, Any]:
    return {
        "scenario": answer.scenario, "question": answer.question,
        "verdict": NOT_JUDGED if answer.left_out else answer.word, "leaning": answer.would_say,
        "p": np.maximum(answer.p, SMALLEST_P), "p_adjusted": np.maximum(answer.adjusted, SMALLEST_P),
        "questions": answer.family, "trainings_measured": answer.trainings,
        "said": answer.said + answer.crosses, "left_out": answer.left_out, "unfinished": answer.caveat,
        "tokens_candidate_over_reference": answer.tokens,
    }  # fmt: skip


def documents(compared: Iterable[Compared]) -> pd.DataFrame:
    """The held-out documents that intervals resample: one row a document of each evaluation, with its tokens."""
    frames = []
    for panel in (one.panel for one in compared if one.panel.sums is not None):
        assert panel.sums is not None
        named = {name: panel.key[name] for name in DOCUMENTS[:3]}
        tokens = panel.sums.tokens.astype(np.int64)
        frames.append(pd.DataFrame({**named, "document": np.arange(len(tokens)), "tokens": tokens}))
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(DOCUMENTS))
    return found.drop_duplicates(ignore_index=True)


def run_intervals(compared: Iterable[Compared]) -> pd.DataFrame:
    """By run: the intervals of its loss recovered and of its difference of cross-entropy; only runs with sequences."""
    frames = []
    for panel in (one.panel for one in compared):
        if panel.sums is None or len(panel.sums.predictions) < bootstrap.FEWEST_DOCUMENTS or len(panel.drawn) < 2:
            continue
        for start in range(0, len(panel.runs), RUNS_AT_ONCE):
            frames.append(_intervals_of(panel, slice(start, start + RUNS_AT_ONCE)))
    return pd.concat(frames) if frames else pd.DataFrame()


def with_intervals(runs: pd.DataFrame, compared: Iterable[Compared]) -> pd.DataFrame:
    """The table of runs with the intervals of `run_intervals` and the difference of cross-entropies, after FIRST."""
    found = run_intervals(compared).reindex(runs["run"])
    names = [f"{name}_{end}" for name in (*LOSS_RECOVERED.values(), DELTA_CE, "gamma") for end in ("low", "high")]
    added = {name: found[name].to_numpy() if name in found else np.full(len(runs), np.nan) for name in names}
    ahead = [name for name in FIRST if name in runs]
    difference = (runs["ce_sae"] - runs["ce_clean"]).rename(DELTA_CE)
    intervals = pd.DataFrame(added, index=runs.index)
    return pd.concat([runs[ahead], difference, intervals, runs.drop(columns=ahead)], axis=1)


def _intervals_of(panel: Panel, rows: slice) -> pd.DataFrame:
    sums = panel.sums
    assert sums is not None
    spliced = bootstrap.ce_sae(sums, panel.drawn, rows)
    measured = {
        name: bootstrap.loss_recovered(sums, panel.drawn, spliced, ablation)
        for ablation, name in LOSS_RECOVERED.items()
        if ablation not in panel.refused
    }
    measured[DELTA_CE] = bootstrap.delta_ce(sums, panel.drawn, spliced)
    if sums.x_xhat is not None:
        measured["gamma"] = bootstrap.gamma(sums, panel.drawn, rows)
    columns: dict[str, Floats] = {}
    for name, values in measured.items():
        ends = bootstrap.interval(values[0], values[1:], bootstrap.stretch(sums))
        columns[f"{name}_low"], columns[f"{name}_high"] = ends
    return pd.DataFrame(columns, index=panel.runs["run"].iloc[rows])


def _sorted(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    by = (*PANEL, "reference", "candidate", "comparison", "d_sae_candidate", "d_sae_reference", "ablation", "question")
    order = [name for name in by if name in frame]
    return frame.sort_values(order, kind="stable", ignore_index=True)
