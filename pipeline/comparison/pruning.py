"""Does pruning close the gap? The comparison again, with tiny activations set to zero at inference: the paper's check.

An arm that is pruned may use each of its runs as it is or at any of its thresholds: its front is taken over all of
them. That choice is made on the text that judges it, in every resample anew, and favours the pruned arm, if anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.aggregate import PRUNE_BELOW
from pipeline.comparison import claims
from pipeline.comparison.arms import Front, Pair, fronts_of
from pipeline.comparison.compare import DELTA_CE, Panel, measure
from pipeline.comparison.documents import read_documents
from pipeline.comparison.summary import bullets, place
from pipeline.comparison.tables import l0_ratios
from pipeline.frontier import PANEL

AS_IT_IS, PRUNED = ("baseline", "gated"), ("baseline_pruned", "gated_pruned")
BETWEEN = (AS_IT_IS, ("baseline_pruned", "gated"), PRUNED)
"""What is compared between the arms, each along the loss recovered that the first compares."""
SAME_ARM = "same_arm"
WITHIN = (("baseline", "baseline_pruned"), ("gated", "gated_pruned"))
"""What pruning saves an arm, along all of its front."""
METHOD = """\
Activations below a threshold were set to zero at inference too. A pruned arm's front is taken over its runs as they
are and at every threshold, a choice that favours it; ratios are of L0 at the loss recovered that the first compares."""


@dataclass(frozen=True)
class Pruned:
    """The L0 of one front over that of another, at equal loss recovered, in one panel."""

    over: str
    under: str
    panel: Panel


def compare_pruned(panels: Iterable[Panel], pruned: pd.DataFrame, sweeps_dir: Path | None) -> list[Pruned]:
    """Every pair of fronts that `panels` compare, again with one and with both of them pruned, and each with itself.

    Args:
        pruned: as `pipeline.aggregate.read_pruned` gives them; panels without such rows are left out.
        sweeps_dir: where the runs' sequences are.
    """
    found: list[Pruned] = []
    for panel in panels:
        rows = pruned[pruned["run"].isin(panel.runs["run"]) & (pruned["evaluation.id"] == panel.key["evaluation.id"])]
        if len(rows):
            found += _compared(panel, _with_pruned(panel, rows, sweeps_dir))
    return found


def _with_pruned(panel: Panel, rows: pd.DataFrame, sweeps_dir: Path | None) -> Panel:
    """The panel with its pruned runs as further runs, after its own, whose numbers stay."""
    as_they_are = panel.runs.assign(**{PRUNE_BELOW: 0.0, "place": np.nan})
    table = pd.concat([as_they_are, rows.astype({PRUNE_BELOW: float, "place": float})], ignore_index=True)
    sums, reasons = (None, panel.reasons)
    if panel.sums is not None and sweeps_dir is not None:
        sums, reasons = read_documents(sweeps_dir, table)
    return Panel(panel.key, table, sums, reasons, panel.drawn)


def _compared(panel: Panel, wider: Panel) -> Iterator[Pruned]:
    fronts = {(front.architecture, front.d_sae): front for front in fronts_of(wider.runs)}
    done = set()
    for measured in (measured for measured in panel.measured if measured.fidelity != DELTA_CE):
        pair, curve = measured.pair, measured.curve
        arms = {front.architecture: front for front in (pair.baseline, pair.gated)}
        arms |= {f"{name}_pruned": fronts[name, front.d_sae] for name, front in arms.items()}
        yield Pruned(*AS_IT_IS, replace(panel, measured=[measured]))
        for over, under in (*BETWEEN[1:], *WITHIN):
            first, second = arms[over], arms[under]
            same = (over, under) in WITHIN
            names = (SAME_ARM,) if same else pair.names
            interval = None if same or curve is None else (curve.low, curve.high)
            key = (over, under, names, first.d_sae, second.d_sae, measured.fidelity)
            if key not in done and _is_pruned(arms, over, under):
                done.add(key)
                again = measure(wider, Pair(first, second, names), measured.fidelity, interval)
                yield Pruned(over, under, replace(wider, measured=[again]))


def _is_pruned(arms: dict[str, Front], over: str, under: str) -> bool:
    """Whether the arms that are named as pruned have pruned runs."""
    named = [name.removesuffix("_pruned") for name in (over, under) if name in PRUNED]
    return all(len(arms[f"{name}_pruned"].runs) > len(arms[name].runs) for name in named)


def table(found: Iterable[Pruned]) -> pd.DataFrame:
    """pruning.csv: as l0_ratio.csv, with what stands over and under the line in columns of their own."""
    frames = []
    for one in found:
        rows = l0_ratios([one.panel])
        rows.columns = [name.replace("baseline", "over").replace("gated", "under") for name in map(str, rows)]
        rows.insert(rows.columns.get_loc("comparison"), "over", one.over)  # type: ignore[arg-type]
        rows.insert(rows.columns.get_loc("comparison"), "under", one.under)  # type: ignore[arg-type]
        frames.append(rows)
    return pd.concat(frames, ignore_index=True).sort_values([*PANEL, "ablation"], kind="stable", ignore_index=True)


def paragraphs(said: Sequence[str]) -> list[str]:
    """What summary.md says of it, from `lines`; nothing where nothing was pruned."""
    return ["## Pruned at inference", METHOD, bullets(said)] if said else []


def lines(found: list[Pruned]) -> list[str]:
    """The verdicts with and without pruning, then a line a pair of fronts, by zero ablation."""
    if not found:
        return []
    rows = table(found)
    rows = rows[(rows["ablation"] == "zero") & (rows["noise"] == "sequences")]
    between = rows[rows["over"].eq("baseline") & rows["under"].eq("gated")]
    by = [*PANEL, "d_sae_over", "d_sae_under"]
    return [*_verdicts(found), *(_line(each, rows) for _, each in between.groupby(by, dropna=False, sort=False))]


def _verdicts(found: list[Pruned]) -> list[str]:
    """What becomes of the claims that rest on ratios."""
    verdicts: dict[str, dict[str, str]] = {}
    for between, words in zip(BETWEEN, ("as they are", "with the baseline pruned", "with both pruned"), strict=True):
        panels = [one.panel for one in found if (one.over, one.under) == between]
        for claim in claims.on_ratios(l0_ratios(panels)) if panels else ():
            verdicts.setdefault(claim.text, {})[words] = claim.verdict
    return [_verdict(text, said) for text, said in verdicts.items()]


def _verdict(text: str, said: dict[str, str]) -> str:
    changes = "changes this" if len(set(said.values())) > 1 else "does not change this"
    return f"{text} {', '.join(f'{verdict} {words}' for words, verdict in said.items())}: pruning {changes}"


def _line(chosen: pd.DataFrame, rows: pd.DataFrame) -> str:
    """One pair of fronts; `chosen` has a row for each of its names."""
    first: dict[str, Any] = chosen.to_dict("records")[0]  # type: ignore[assignment]
    widths = {"baseline": first["d_sae_over"], "gated": first["d_sae_under"]}
    same = [rows[name].eq(first[name]) for name in PANEL]
    for side in ("over", "under"):
        same.append(rows[f"d_sae_{side}"].eq(rows[side].str.removesuffix("_pruned").map(widths)))
    here = rows[np.logical_and.reduce(same)]
    between, alone = (here[here["comparison"].eq(name)].to_dict("records") for name in (first["comparison"], SAME_ARM))
    ratios = [f"{row['over']} / {row['under']} {_ratio(row)}".replace("_", " ") for row in between]
    saved = [f"{row['over']} {1 - 1 / row['ratio_median']:.1%}" for row in alone]
    where = f"{place(first, rows)}, {' + '.join(chosen['comparison'])} ({widths['baseline']} / {widths['gated']})"
    return f"{where}: {', '.join(ratios)}; L0 that pruning alone saves: {', '.join(saved)}"


def _ratio(row: Mapping[Any, Any]) -> str:
    """A median with its interval, or why there is none."""
    median, low, high = (row[f"ratio_{name}"] for name in ("median", "low", "high"))
    if pd.isna(median):
        return f"no ratio ({row['note']})"
    return f"{median:.2f}" if pd.isna(low) else f"{median:.2f} ({low:.2f} to {high:.2f})"
