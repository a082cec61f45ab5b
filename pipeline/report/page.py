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

from pipeline.comparison import claims, pruning, robustness, summary, tables
from pipeline.comparison.findings import Findings
from pipeline.comparison.words import explained
from pipeline.figures.material import material
from pipeline.frontier import died_lines, points
from pipeline.report import charts, comparisons, provenance, table
from pipeline.report.cells import NOTHING
from pipeline.report.pictures import pictures


@dataclass(frozen=True)
class Results:
    """All that the page is built from; the tables are those that lie beside it as CSV."""

    name: str  # of the sweep, or of the source
    found: Findings
    runs: pd.DataFrame  # with intervals and `on_frontier`
    folder: Path | None  # of the sweeps; None for points from a table
    commands: Sequence[str]  # that made them, in order
    pictures: Sequence[Path] = ()  # files of the figures


def page(results: Results, at: Path) -> str:
    """The page as HTML: the same text for the same records.

    Args:
        at: the folder that it will lie in; links to runs lead from there.
    """
    runs = table.shown(results.runs)
    source = material(runs)
    data = charts.finished(source.runs)
    entries = charts.legend(data, source.looks)
    environment = Environment(
        loader=PackageLoader("pipeline.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    style = Markup(environment.get_template("style.css").render(entries=entries, grid=charts.GRID))
    script = Markup(files("pipeline.report").joinpath("templates", "script.js").read_text(encoding="utf-8"))
    return environment.get_template("report.html").render(
        name=results.name, style=style, script=script, policy=policy(style, script), nothing=NOTHING,
        entries=entries, charts=charts.charts(data, points(results.found.runs), entries), drawing=charts,
        runs=table.runs_table(runs, len(results.runs), results.folder, at), commands=results.commands,
        pictures=pictures(results.pictures), about=", ".join(map(str, results.runs["model"].dropna().unique()[:3])),
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
    """What summary.md says too, by the same functions."""
    by_scenario = found.claims()
    return {
        "status": summary.status_line(found.runs), "method": summary.METHOD, "levels": summary.LEVELS,
        "sensitive": summary.sensitive(found), "headlines": summary.headlines(found),
        "explained": explained(summary.ratio_lines(found)), "overall": claims.OVERALL,
        "scope": claims.SCOPE if summary.scoped(found) else "", "claims": by_scenario[pruning.AS_TRAINED],
        "pruned_claims": {name: judged for name, judged in by_scenario.items() if name != pruning.AS_TRAINED},
        "pruned": pruning.saved_alone(found.pruned), "pruning_method": pruning.METHOD,
        "vertical": summary.vertical_lines(found), "died": died_lines(found.runs),
        "not_compared": summary.not_compared(found),
    }  # fmt: skip


def _tables(results: Results) -> dict[str, object]:
    found = results.found
    return {
        "ratios": comparisons.ratio_table(tables.l0_ratios(found.compared)),
        "savings": comparisons.saved_table(tables.savings(found.compared)),
        "robustness": comparisons.robustness_table(robustness.table(found.robustness)),
        "cost": table.cost_table(results.runs), "absent": table.absent_table(summary.absent(found.runs)),
        "provenance": provenance.provenance(results.runs), "settings": provenance.shared_settings(results.runs),
    }  # fmt: skip
