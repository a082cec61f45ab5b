"""The page itself: what the tables say, put into the template, with a policy under which nothing else runs."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.analysis.frontier import died_lines
from pipeline.comparison import pruning, shown_claims, shown_numbers, summary, tables
from pipeline.comparison.cautions import cautions
from pipeline.comparison.findings import Findings
from pipeline.comparison.settings import settings_line
from pipeline.comparison.words import explained
from pipeline.figures.draw_all import DrawnFigure, without_gc
from pipeline.report import comparisons, provenance, table
from pipeline.report.cells import NOTHING
from pipeline.report.figures import shown
from pipeline.report.inline_svg import StyleClasses


@dataclass(frozen=True)
class ReportInputs:
    """All that the page is built from; the tables are those that lie next to it as CSV."""

    name: str  # of the sweep, or of the source
    found: Findings
    runs: pd.DataFrame  # with intervals and `on_frontier`
    folder: Path | None  # of the sweeps; None for points from a table
    commands: Sequence[str]  # that produced them, in order
    figures: Sequence[DrawnFigure] = ()


def page(results: ReportInputs, at: Path) -> str:
    """The page as HTML: the same text for the same records.

    Args:
        at: the folder that it will lie in; links to runs lead from there.
    """
    runs = table.shown(results.runs)
    rows = {str(run): row for row, run in enumerate(runs["run"])}
    classes = StyleClasses()
    with without_gc():  # it would walk the figures' elements, and find none to free
        figures = [shown(figure, rows, classes) for figure in results.figures]
    environment = Environment(
        loader=PackageLoader("pipeline.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    style = Markup(environment.get_template("style.css").render(classes=classes.css()))
    script = Markup(files("pipeline.report").joinpath("templates", "script.js").read_text(encoding="utf-8"))
    return environment.get_template("report.html").render(
        name=results.name, style=style, script=script, policy=policy(style, script), nothing=NOTHING,
        figures=figures, runs=table.runs_table(runs, len(results.runs), results.folder, at), commands=results.commands,
        about=", ".join(map(str, results.runs["model"].dropna().unique()[:3])),
        **_words(results.found), **_tables(results),
    )  # fmt: skip


def policy(style: str, script: str) -> str:
    """A content security policy: this style sheet, this script, pictures inside the page, and nothing from anywhere."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _words(found: Findings) -> dict[str, object]:
    """What summary.md says as well, by the same functions."""
    headlines = shown_numbers.ratios(found)
    return {
        "status": summary.status_line(found), "compared": summary.compared(found),
        "trained": settings_line(found.runs), "first": [*cautions(found), *shown_claims.turned(found)],
        "moved_note": summary.moved_note(shown_numbers.moved(found)), "judged_on": shown_claims.judged_on(found),
        "rules": summary.rules(found), "explained": explained([str(headlines)]), "method": summary.METHOD,
        "added_note": summary.ADDED, "choices_note": summary.CHOICES, "ablations": summary.ablations(found),
        "pruned": pruning.saved_alone(found.pruned),
        "pruning_method": pruning.METHOD,
        "thresholds": pruning.thresholds_line(found.pruned), "died": died_lines(found.runs),
        "not_compared": summary.not_compared(found), "spent": summary.spent(found), "spent_note": summary.SPENT_NOTE,
    }  # fmt: skip


def _tables(results: ReportInputs) -> dict[str, object]:
    found = results.found
    by_site = shown_claims.by_site(found)
    return {
        "moved": table.of_words("moved", shown_numbers.moved(found)),
        "verdicts": table.of_words("verdicts", shown_claims.verdicts(found)),
        "by_site": [(text, table.of_words(f"claim{n}", shown)) for n, (text, shown) in enumerate(by_site)],
        "headlines": table.of_words("headlines", shown_numbers.ratios(found)),
        "added": table.of_words("added", shown_numbers.ce_at_l0(found)),
        "robustness": table.of_words("robustness", shown_numbers.robustness(found)),
        "ratios": comparisons.ratio_table(tables.l0_ratios(found.compared)),
        "savings": comparisons.saved_table(tables.savings(found.compared)),
        "cost": table.cost_table(results.runs), "absent": table.absent_table(summary.absent(found.runs)),
        "provenance": provenance.provenance(results.runs), "settings": provenance.shared_settings(results.runs),
    }  # fmt: skip
