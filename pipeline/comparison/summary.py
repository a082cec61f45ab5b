"""The comparison in words: lines for the screen, and summary.md."""

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import died_lines
from pipeline.comparison import claims, pruning, shown_claims, shown_numbers
from pipeline.comparison.along import RATIO
from pipeline.comparison.cautions import cautions, mixtures
from pipeline.comparison.compare import AS_TRAINED, Compared
from pipeline.comparison.documents import Documents
from pipeline.comparison.findings import Findings
from pipeline.comparison.panel import DELTA_CE
from pipeline.comparison.settings import settings_line
from pipeline.comparison.shown import NOTHING, Shown, all_arms, arms, key, place, row_of
from pipeline.comparison.words import explained

METHOD = """\
The ratio is L0 of the reference over L0 of the candidate at equal loss recovered: its median over the range that both
fronts reach. A front joins the means over seeds by straight lines in (log L0, loss recovered), and ends at its last
points. Intervals are 95 %. Over sequences: the effect of other text, with the trained weights fixed. Over seeds: the
effect of other trainings, on this text. Over both: the two together. docs/statistics.md has the definitions."""
MOVED = """\
Some equally defensible choices move these ratios outside their 95 % intervals, compared as printed. The table has the
lowest and the highest; "The ratio with other choices" has more. The intervals cover noise only. Training settings
(learning rate, its decay, initialisation, length) may move the ratios as far; they are not in that table."""
OUT_ON_ONE_SIDE = "A dash: no choice leaves the interval on that side."
CHOICES = """\
Each lambda was left out in turn. For each arm, the table shows the two that give the lowest and the highest ratio. Only
the ratios that claims are judged by have intervals; they are above."""
ADDED = """\
Nats per prediction with the widest 95 % interval measured, and as a share of the clean cross-entropy. For a range of
L0: the mean over it, evenly weighted in log L0. A dash: the front does not reach this L0. ce_at_l0.csv has every
interval."""
SPENT_NOTE = """\
Fronts are compared at equal cost (equal_flops, equal_seconds) only if both trainings cost the same within 10 %.
Operations count what was computed, not the zeros that a step skipped."""
SPENT = ("training_flops", "training_seconds")
MOST_RUNS = 3
"""Of those without usable sequences for one reason, that are named."""
MOST_ROWS = 60
"""Of a table in summary.md."""


def ratio_lines(found: Findings) -> list[str]:
    """For the screen: a line a pair of fronts as trained."""
    moved = {key(row_of(one.panel, one.headline.pair)) for one in found.robustness if one.outside()}
    lines = []
    for pair, answer in shown_numbers.directions(found).items():
        row = row_of(answer.panel, answer.pair)
        further = "; other choices move it out of that" if pair in moved else ""
        names = " + ".join(answer.pair.names)
        lines.append(f"{place(row, found.runs)}, {arms(row)}, {names}: {shown_claims.said(answer)}{further}")
    return lines


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
                differ = _of_evaluations(here) if name == "evaluation.id" else ""
                lines.append(f"{site}, layer {layer}: {count} {what}{differ}, each compared within itself only")
                break
    for one in found.compared:
        where, reasons = place(one.panel.key, done), one.panel.reasons
        lines += [f"{where}: {line}" for line in one.lines]
        for reason in sorted(set(reasons.values())):
            runs = [run for run, why in reasons.items() if why == reason]
            named = ", ".join(runs[:MOST_RUNS]) + (", ..." if len(runs) > MOST_RUNS else "")
            lines.append(f"{where}: no sequences of {len(runs)} run{'s' if len(runs) > 1 else ''}: {reason} ({named})")
        lines += [f"{where}: {line}" for line in _without_ratio(one)]
    return [*lines, *mixtures(found)]


def spent(found: Findings) -> list[str]:
    """A line per pair of fronts: what training the reference took, as spent, over what the candidate took."""
    lines = []
    for one in found.compared:
        for pair in one.pairs:
            flops, seconds = (pair.reference.cost[name] / pair.candidate.cost[name] for name in SPENT)
            where, fronts = place(one.panel.key, found.runs), arms(row_of(one.panel, pair))
            said = [f"{flops:.2f} times the operations"] if np.isfinite(flops) else []
            alike = pair.reference.machines == pair.candidate.machines and len(pair.candidate.machines) == 1
            said += [f"{seconds:.2f} times the seconds"] if np.isfinite(seconds) and alike else []
            if said:
                lines.append(f"{where}, {fronts}: training the reference took {' and '.join(said)} (medians of runs)")
    return lines


def _of_evaluations(done: pd.DataFrame) -> str:
    """In which settings several evaluations differ, as far as their runs state it."""
    names = [name for name in map(str, done) if name.startswith("eval.") or name == "evaluation_version"]
    differing = [name for name in names if done[name].dropna().astype(str).nunique() > 1]
    return f" (they differ in {', '.join(differing)})" if differing else ""


def _without_ratio(one: Compared) -> list[str]:
    """Pairs whose fronts share no loss recovered, and what they were judged by instead."""
    lines = []
    for measured in one.measured:
        if measured.ablation == "zero" and measured.estimate is None:
            arms = " / ".join(f"{front.architecture} ({front.d_sae})" for front in measured.pair.fronts)
            lines.append(f"{arms} have no ratio: {measured.note}")
    return lines


def rules(found: Findings) -> list[str]:
    """How verdicts are reached: of the questions that were asked, then of all of them."""
    asked = dict.fromkeys(claim.question for claim in found.claims()[AS_TRAINED])
    scope = [claims.SCOPE] if shown_claims.scoped(found) else []
    of_all = [claims.OVERALL, claims.LEVELS, *_alive(found.runs), *_text(found)]
    return [*(claims.RULES[question] for question in asked), *of_all, *scope]


def _text(found: Findings) -> list[str]:
    """How much text there was to resample, and how often it was."""
    known = [(one.panel.sums, len(one.panel.drawn) - 1) for one in found.compared]
    return list(dict.fromkeys(_of_documents(sums, resamples) for sums, resamples in known if sums is not None))


def _of_documents(sums: Documents, resamples: int) -> str:
    return (
        f"Held-out text: {sums.tokens.sum():,.0f} tokens of {len(sums.tokens)} documents. Their lengths differ, so "
        f"that they are worth {sums.effective:.0f} documents of equal length. Intervals over sequences use "
        f"{resamples:,} resamples of these documents."
    )


def ablations(found: Findings) -> list[str]:
    """By panel the clean cross-entropy, and what ablating the site costs: by that loss recovered divides."""
    lines = []
    for one in found.compared:
        clean, *costs = (float(one.panel.runs[f"ce_{name}"].mean()) for name in ("clean", "zero", "mean"))
        if np.isfinite(clean):
            zero, mean = (f"{cost - clean:.3g}" for cost in costs)
            where, by_mean = place(one.panel.key, found.runs), _shared_by_mean(one)
            lines.append(f"{where}: {clean:.3f} nats clean; zero ablation adds {zero}, mean ablation {mean}{by_mean}")
    return lines


def _shared_by_mean(one: Compared) -> str:
    """Along which loss recovered by mean ablation ratios are read, lowest to highest over pairs of fronts."""
    read = [each.estimate for each in one.measured if each.kind == RATIO and each.ablation == "mean" and each.estimate]
    if not read or any(each.ablation == "mean" and each.fidelity == DELTA_CE for each in one.measured):
        return ""
    low, high = min(each.low for each in read), max(each.high for each in read)
    return f"; by mean ablation, the fronts share loss recovered {low:.3f} to {high:.3f}"


def _alive(runs: pd.DataFrame) -> list[str]:
    """By which rule the records have it that a feature is alive."""
    return (
        [f"Alive: {rule}." for rule in runs["evaluation.alive"].dropna().unique()] if "evaluation.alive" in runs else []
    )


def compared(found: Findings) -> str:
    """The two arms that all tables are of; nothing where they name several."""
    pairs = all_arms(found)
    if len(pairs) != 1:
        return ""
    return f"Reference / candidate, in all that follows: {pairs[0]}; in brackets the numbers of features."


def summary(sweep: str, found: Findings) -> str:
    """summary.md."""
    ratios = shown_numbers.ratios(found)
    gaps, alone = not_compared(found), pruning.saved_alone(found.pruned)
    parts = [
        f"# {_plain(sweep)}", _plain(" ".join(filter(None, [status_line(found), compared(found)]))),
        *([_plain(settings)] if (settings := settings_line(found.runs)) else []), *_first(found), *_claims(found),
        "## L0 of the reference over L0 of the candidate",
        *([_markdown(ratios, "l0_ratio.csv"), bullets([f"{word}: {said}" for word, said in explained([str(ratios)])])]
          if ratios.rows else ["There is nothing to compare yet."]), METHOD,
        *_section("Cross-entropy added at equal L0", shown_numbers.ce_at_l0(found), ADDED, "ce_at_l0.csv"),
        *([_plain(bullets(losses))] if (losses := ablations(found)) else []),
        *_section("The ratio with other choices", shown_numbers.robustness(found), CHOICES, "robustness.csv"),
        *(["## Pruned at inference", pruning.thresholds_line(found.pruned), _plain(bullets(alone)), pruning.METHOD]
          if alone else []),
        *(["## No feature fires", _plain(bullets(died))] if (died := died_lines(found.runs)) else []),
        "## Not compared", _plain(bullets(gaps)) or "Every pair of fronts that a rule calls fair has a ratio.",
        *(["## What training took", SPENT_NOTE, _plain(bullets(costs))] if (costs := spent(found)) else []),
        "## Failed or missing", _plain(bullets(absent_lines(found.runs))) or "None.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _first(found: Findings) -> list[str]:
    """What a reader must know before any verdict."""
    lines, moved = [*cautions(found), *shown_claims.turned(found)], shown_numbers.moved(found)
    parts = [_plain(bullets(lines))] if lines else []
    parts += [moved_note(moved), _markdown(moved, "robustness.csv")] if moved.rows else []
    return ["## Read this first", *parts] if parts else []


def moved_note(moved: Shown) -> str:
    """What stands above the table of ratios that other choices move."""
    return f"{MOVED} {OUT_ON_ONE_SIDE}" if any(NOTHING in row for row in moved.rows) else MOVED


def _claims(found: Findings) -> list[str]:
    parts = ["## Claims", _markdown(shown_claims.verdicts(found), "verdicts.csv")]
    parts += map(_plain, shown_claims.judged_on(found))
    for text, table in shown_claims.by_site(found):
        parts += [f"**{_plain(text)}**", _markdown(table, "verdicts.csv")]
    return [*parts, "**Rules**", bullets(rules(found))]


def _section(heading: str, table: Shown, note: str, file: str) -> list[str]:
    return [f"## {heading}", _markdown(table, file), note] if table.rows else []


def _markdown(table: Shown, file: str) -> str:
    """The table's first rows; `file` has all."""
    lines = [[*table.columns], ["---"] * len(table.columns), *table.rows[:MOST_ROWS]]
    text = "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)
    return text + (f"\n\n{len(table.rows) - MOST_ROWS} more are in {file}." if len(table.rows) > MOST_ROWS else "")


def _cell(text: str) -> str:
    return _plain(" ".join(text.split())).replace("|", "\\|")


def status_line(found: Findings) -> str:
    """How many runs there are, by status; of a table, what became of its rows."""
    runs, source = found.runs, f" Read from {found.source}." if found.source else ""
    counts = runs["status"].value_counts()
    return f"{len(runs)} runs: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + f".{source}"


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
