"""The comparison in words: lines for the screen, and summary.md."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.comparison import claims
from pipeline.comparison.compare import Panel
from pipeline.comparison.words import explained
from pipeline.frontier import PANEL

METHOD = """\
The ratio is L0 of the baseline over L0 of gated at equal loss recovered: its median over loss recovered, uniform along
the interval where both fronts have a value; fronts are joined linearly in (log L0, loss recovered) and never extended.
Points are means over seeds. Intervals are 95 %. Over sequences: documents of the held-out text are resampled, the same
ones for all runs and for the clean and ablated losses, percentiles stretched for the number of documents; the trained
weights stay as they are. Over seeds: Student's t on the log ratio, on the text as it is. The two are not added."""
SHOWN = 40
"""Lines that the screen gets at most."""


def ratio_lines(ratios: pd.DataFrame) -> list[str]:
    """One line a pair of fronts, by zero ablation; refusals too."""
    return [f"{where}: {said}" for where, said in headlines(ratios)]


def headlines(ratios: pd.DataFrame) -> list[tuple[str, str]]:
    """The same in two parts: which fronts, and what their ratio is."""
    chosen = ratios[ratios["ablation"] == "zero"]
    by = [*PANEL, "d_sae_baseline", "d_sae_gated"]
    return [_headline(rows, ratios) for _, rows in chosen.groupby(by, dropna=False, sort=False)]


def _headline(rows: pd.DataFrame, ratios: pd.DataFrame) -> tuple[str, str]:
    row: Mapping[str, Any] = rows.to_dict("records")[0]  # type: ignore[assignment]
    names = " + ".join(rows["comparison"].unique())
    where = f"{place(row, ratios)}, {names} ({row['d_sae_baseline']} / {row['d_sae_gated']})"
    if pd.isna(row["ratio_median"]):
        return where, f"no ratio: {row['note']}"
    once = rows[rows["comparison"] == row["comparison"]]
    noises = "; ".join(_noise({str(key): value for key, value in noise.items()}) for noise in once.to_dict("records"))
    between = f"loss recovered {row['fidelity_low']:.3f} to {row['fidelity_high']:.3f}"
    return where, f"{row['ratio_median']:.2f} ({noises}), {between}{_alive(row)}"


def _alive(row: Mapping[str, Any]) -> str:
    """Shares of alive features of both arms, where they are known."""
    shares = [row["alive_baseline"], row["alive_gated"]]
    if all(map(pd.isna, shares)):
        return ""
    return ", alive " + " / ".join("unknown" if pd.isna(share) else f"{share:.0%}" for share in shares)


def _noise(row: Mapping[str, Any]) -> str:
    if pd.isna(row["ratio_low"]):
        return str(row["note"])
    return f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f} over {row['noise']}"


def place(row: Mapping[str, Any], among: pd.DataFrame) -> str:
    """Site and layer, and whatever else it takes to tell panels apart."""
    further = [str(row[name]) for name in ("model", "data.name", "evaluation.id") if among[name].nunique() > 1]
    return ", ".join([f"{row['site']}, layer {row['layer']}", *further])


def not_compared(panels: Sequence[Panel], runs: pd.DataFrame) -> list[str]:
    """What the sweep holds that is not compared, or has no interval, each in a line."""
    lines = []
    done = runs[runs["status"] == "done"]
    for (site, layer), here in done.groupby(["site", "layer"], dropna=False):
        for name, what in (
            ("model", "models or revisions"),
            ("data.name", "data sets"),
            ("evaluation.id", "evaluations"),
        ):
            if (count := here[name].nunique(dropna=False)) > 1:
                lines.append(f"{site}, layer {layer}: {count} {what}, each compared within itself only")
                break
    for panel in panels:
        lines += [f"{place(panel.key, done)}: {line}" for line in panel.lines]
        for reason in sorted(set(panel.reasons.values())):
            count = list(panel.reasons.values()).count(reason)
            lines.append(f"{place(panel.key, done)}: no sequences of {count} run{'s' if count > 1 else ''}: {reason}")
    return lines


def summary(
    sweep: str, runs: pd.DataFrame, ratios: pd.DataFrame, points: pd.DataFrame, panels: Sequence[Panel],
    further: Sequence[str] = (),
) -> str:  # fmt: skip
    """summary.md.

    Args:
        further: paragraphs of Markdown on what else was compared.
    """
    ratios_said, gaps = bullets(ratio_lines(ratios)), bullets(not_compared(panels, runs))
    parts = [
        f"# {_plain(sweep)}", status_line(runs), "## L0 of the baseline over L0 of gated", METHOD,
        _plain(ratios_said) or "There is nothing to compare yet.",
        *([_plain(bullets([f"{word}: {said}" for word, said in explained([ratios_said])]))] if ratios_said else []),
        "## The paper's claims", "\n".join(claims.lines(claims.claims(ratios, points))),
        *further,
        "## Not compared", _plain(gaps) or "Everything that is finished was compared.",
        "## Failed or missing", _plain(bullets(absent_lines(runs))) or "None.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


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
