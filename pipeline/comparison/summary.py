"""The comparison in words: lines for the screen, and summary.md."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.comparison import claims, pruning, tables
from pipeline.comparison.claims import Claim
from pipeline.comparison.compare import Compared
from pipeline.comparison.findings import Findings
from pipeline.comparison.noise import KINDS
from pipeline.comparison.questions import DIRECTION, Answer
from pipeline.comparison.words import explained
from pipeline.frontier import PANEL, died_lines

METHOD = """\
The ratio is L0 of the reference over L0 of the candidate at equal loss recovered: its median over loss recovered,
uniform along the interval where both fronts have a value; fronts are joined linearly in (log L0, loss recovered) and
never extended. Points are means over seeds. Intervals are 95 %. Over sequences: documents of the held-out text are
resampled, the same ones for all runs and for the clean and ablated losses; the trained weights stay as they are. Over
seeds: the jackknife, on the text as it is. Over both: their variances are added."""
LEVELS = (
    "Verdicts of a sweep are one family: in 95 of 100 sweeps none of them is wrong (Holm's procedure). verdicts.csv "
    "has each with its p-value; docs/statistics.md says how they are reached."
)
SHOWN = 40
"""Lines that the screen gets at most."""


def ratio_lines(found: Findings) -> list[str]:
    """One line a pair of fronts as trained, by zero ablation; refusals too."""
    return [f"{where}: {said}" for where, said in headlines(found)]


def headlines(found: Findings) -> list[tuple[str, str]]:
    """The same in two parts: which fronts, and what is found of them."""
    ratios = tables.l0_ratios(found.compared)
    chosen = ratios[ratios["ablation"] == "zero"]
    by = [*PANEL, "reference", "candidate", "d_sae_reference", "d_sae_candidate"]
    directions = {_key(answer): answer for answer in found.answers
                  if answer.question == DIRECTION and answer.scenario == pruning.AS_TRAINED}  # fmt: skip
    return [
        _headline(rows, ratios, directions[_row_key(rows)]) for _, rows in chosen.groupby(by, dropna=False, sort=False)
    ]


def _key(answer: Answer) -> tuple[Any, ...]:
    fronts = answer.pair.fronts
    return (*answer.panel.key.values(), *((front.architecture, front.d_sae) for front in fronts))


def _row_key(rows: pd.DataFrame) -> tuple[Any, ...]:
    row = rows.iloc[0]
    arms = ((row[name], row[f"d_sae_{name}"]) for name in ("reference", "candidate"))
    return (*(row[name] for name in PANEL), *arms)


def _headline(rows: pd.DataFrame, ratios: pd.DataFrame, direction: Answer) -> tuple[str, str]:
    row: Mapping[str, Any] = rows.to_dict("records")[0]  # type: ignore[assignment]
    names = " + ".join(rows["comparison"].unique())
    arms = f"{row['reference']} / {row['candidate']} ({row['d_sae_reference']} / {row['d_sae_candidate']})"
    where = f"{place(row, ratios)}, {arms}, {names}"
    verdict = _verdict(direction)
    if pd.isna(row["ratio_median"]):
        return where, f"{verdict}; no ratio: {row['note']}"
    once = rows[rows["comparison"] == row["comparison"]].set_index("noise")
    noises = "; ".join(
        said for kind in KINDS if (said := _noise(kind, {str(k): v for k, v in once.loc[kind].to_dict().items()}))
    )
    ends = sorted(abs(row[f"fidelity_{end}"]) for end in ("low", "high"))
    fidelity = "loss recovered" if row["fidelity"] == "loss_recovered" else "cross-entropy added"
    narrow = ", a narrow overlap" if row["narrow"] else ""
    along = f"{fidelity} {ends[0]:.3f} to {ends[1]:.3f}{narrow}"
    return where, f"{row['ratio_median']:.2f} ({noises}), {along}; {verdict}{_alive(row)}"


def _verdict(direction: Answer) -> str:
    """The direction, with how far it reaches."""
    if direction.left_out:
        return f"not judged: {direction.left_out}"
    scope = "" if direction.trainings or direction.word == "undecided" else f" {claims.THESE}"
    crossing = direction.said.partition(", the fronts cross")
    at = f" (the fronts cross{crossing[2]})" if crossing[1] else ""
    return f"{direction.word}{scope}{at}"


def _alive(row: Mapping[str, Any]) -> str:
    """Shares of alive features and effective widths of both arms, where they are known."""
    parts = []
    for name, form in (("alive", "{:.0%}"), ("effective", "{:.0f}")):
        values = [row[f"{name}_{arm}"] for arm in ("reference", "candidate")]
        if not all(map(pd.isna, values)):
            word = "alive" if name == "alive" else "effective width"
            parts.append(f", {word} " + " / ".join("unknown" if pd.isna(v) else form.format(v) for v in values))
    return "".join(parts)


def _noise(kind: str, row: Mapping[str, Any]) -> str:
    if pd.isna(row["ratio_low"]):
        return "" if kind == "both" else str(row["note"])
    repeat = ""
    if np.isfinite(row["ratio_repeat_low"]):
        repeat = f", a repeat {row['ratio_repeat_low']:.2f} to {row['ratio_repeat_high']:.2f}"
    return f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f} over {kind}{repeat}"


def place(row: Mapping[str, Any], among: pd.DataFrame) -> str:
    """Site and layer, and whatever else it takes to tell panels apart."""
    further = [str(row[name]) for name in ("model", "data.name", "evaluation.id") if among[name].nunique() > 1]
    return ", ".join([f"{row['site']}, layer {row['layer']}", *further])


def not_compared(found: Findings) -> list[str]:
    """What the sweep holds that is not compared, or has no interval, each in a line."""
    lines = []
    done = found.runs[found.runs["status"] == "done"]
    for (site, layer), here in done.groupby(["site", "layer"], dropna=False):
        for name, what in (
            ("model", "models or revisions"),
            ("data.name", "data sets"),
            ("evaluation.id", "evaluations"),
        ):
            if (count := here[name].nunique(dropna=False)) > 1:
                lines.append(f"{site}, layer {layer}: {count} {what}, each compared within itself only")
                break
    for one in found.compared:
        where, reasons = place(one.panel.key, done), one.panel.reasons
        lines += [f"{where}: {line}" for line in one.lines]
        for reason in sorted(set(reasons.values())):
            count = list(reasons.values()).count(reason)
            lines.append(f"{where}: no sequences of {count} run{'s' if count > 1 else ''}: {reason}")
        lines += [f"{where}: {line}" for line in _without_ratio(one)]
    return lines


def _without_ratio(one: Compared) -> list[str]:
    """Pairs whose fronts share no loss recovered, and what they were judged by instead."""
    lines = []
    for measured in one.measured:
        if measured.ablation == "zero" and measured.estimate is None:
            arms = " / ".join(f"{front.architecture} ({front.d_sae})" for front in measured.pair.fronts)
            lines.append(f"{arms} has no ratio: {measured.note}")
    return lines


def claim_lines(found: Findings) -> list[str]:
    """Claims as Markdown, as trained and pruned, with the rule of each once."""
    by_scenario = found.claims()
    lines = []
    for number, claim in enumerate(by_scenario[pruning.AS_TRAINED]):
        others = [(name, judged[number]) for name, judged in by_scenario.items() if name != pruning.AS_TRAINED]
        lines.append(_claim(claim, [(name, other) for name, other in others if other.text == claim.text]))
    return lines


def _claim(claim: Claim, pruned: Sequence[tuple[str, Claim]]) -> str:
    lines = [f"- **{claim.headline}**: {claim.text} ({claim.because})"]
    lines += [f"  - {name}: **{other.headline}** ({other.because})" for name, other in pruned]
    return "\n".join([*lines, f"  - Rule: {claim.rule}"])


def scoped(found: Findings) -> bool:
    """Whether any verdict reaches no further than the SAEs that were trained."""
    return any(not answer.trainings and not answer.left_out for answer in found.answers)


def sensitive(found: Findings) -> list[str]:
    """What other choices move out of its interval: said first."""
    return [line for one in found.robustness if (line := one.line())]


def vertical_lines(found: Findings) -> list[str]:
    """Cross-entropy added at given L0, a line a pair: nats, and share of the clean loss."""
    rows = found.at_l0[found.at_l0["ce_added"].notna()]
    by = [*PANEL, "reference", "candidate", "d_sae_reference", "d_sae_candidate"]
    return [_vertical(here, rows) for _, here in rows.groupby(by, dropna=False, sort=False)]


def _vertical(here: pd.DataFrame, rows: pd.DataFrame) -> str:
    first: Mapping[str, Any] = here.to_dict("records")[0]  # type: ignore[assignment]
    here = here[here["comparison"] == first["comparison"]]
    parts = []
    for l0 in here["l0"].unique():
        at = here[here["l0"] == l0].set_index(["arm", "noise"])
        arms = [at.loc[(arm, "sequences")] for arm in ("reference", "candidate") if (arm, "sequences") in at.index]
        if len(arms) == 2 and ("difference", "sequences") in at.index:
            values = " / ".join(f"{arm['ce_added']:.4f} ({arm['share_of_clean']:.2%})" for arm in arms)
            kinds = [
                kind for kind in ("both", "sequences") if np.isfinite(at.loc[("difference", kind)]["ce_added_low"])
            ]
            ends = at.loc[("difference", kinds[0])] if kinds else None
            interval = f" ({ends['ce_added_low']:.4f} to {ends['ce_added_high']:.4f})" if ends is not None else ""
            parts.append(f"at {l0} {values}, {at.loc[('difference', 'sequences')]['ce_added']:.4f}{interval} apart")
    arms_named = (
        f"{first['reference']} / {first['candidate']} ({first['d_sae_reference']} / {first['d_sae_candidate']})"
    )
    return f"{place(first, rows)}, {arms_named}: {'; '.join(parts) or 'no L0 that both fronts reach'}"


def summary(sweep: str, found: Findings) -> str:
    """summary.md."""
    ratios_said, gaps = bullets(ratio_lines(found)), bullets(not_compared(found))
    first = sensitive(found)
    pruned = pruning.paragraphs(pruning.saved_alone(found.pruned))
    died = died_lines(found.runs)
    parts = [
        f"# {_plain(sweep)}", status_line(found.runs),
        *(["**Other choices move these further than their intervals say:**", _plain(bullets(first))] if first else []),
        "## Claims", "\n".join(map(_plain, claim_lines(found))), f"{claims.OVERALL}", LEVELS,
        *([claims.SCOPE] if scoped(found) else []),
        "## L0 of the reference over L0 of the candidate", METHOD,
        _plain(ratios_said) or "There is nothing to compare yet.",
        *([_plain(bullets([f"{word}: {said}" for word, said in explained([ratios_said])]))] if ratios_said else []),
        *_section("Cross-entropy added at equal L0", vertical_lines(found)),
        *map(_plain, pruned),
        *_section("No feature fires", died),
        "## Not compared", _plain(gaps) or "Every pair of fronts that a rule calls fair has a ratio.",
        "## Failed or missing", _plain(bullets(absent_lines(found.runs))) or "None.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _section(heading: str, lines: Sequence[str]) -> list[str]:
    return [f"## {heading}", _plain(bullets(lines))] if lines else []


def status_line(runs: pd.DataFrame) -> str:
    """How many runs there are, by status."""
    counts = runs["status"].value_counts()
    return f"{len(runs)} runs: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + "."


def absent(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that are failed or missing; `reason` says why."""
    return runs[runs["status"].isin(["failed", "missing"])]


def absent_lines(runs: pd.DataFrame) -> list[str]:
    """A line for each run that is failed or missing, with the reason where it is known."""
    gone = absent(runs).sort_values("status", kind="stable")
    named = zip(gone["status"], gone["run"], gone["reason"].fillna("").astype(str), strict=True)
    return [f"{status}: {run}" + (f": {reason}" if reason else "") for status, run, reason in named]


def _plain(text: str) -> str:
    """Names from records and tables as they are: no HTML to whatever shows the Markdown."""
    return html.escape(text, quote=False)


def bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
