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

from pipeline.comparison import pruning, summary
from pipeline.comparison.claims import claims
from pipeline.comparison.compare import Panel
from pipeline.comparison.words import explained
from pipeline.figures.material import material
from pipeline.report import charts, comparisons, provenance, table
from pipeline.report.cells import NOTHING
from pipeline.report.pictures import pictures


@dataclass(frozen=True)
class Findings:
    """All that the page is built from; the tables are those that lie beside it as CSV."""

    name: str  # of the sweep, or of the source
    runs: pd.DataFrame  # with intervals and `on_frontier`
    points: pd.DataFrame
    ratios: pd.DataFrame
    delta_ces: pd.DataFrame
    compared: Sequence[Panel]
    folder: Path | None  # of the sweeps; None for points from a table
    commands: Sequence[str]  # that made them, in order
    pruned: Sequence[str] = ()  # lines on what pruning tiny activations changes
    pictures: Sequence[Path] = ()  # files of the figures


def page(findings: Findings, at: Path) -> str:
    """The page as HTML: the same text for the same records.

    Args:
        at: the folder that it will lie in; links to runs lead from there.
    """
    runs = table.shown(findings.runs)
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
        name=findings.name, style=style, script=script, policy=policy(style, script), nothing=NOTHING,
        entries=entries, charts=charts.charts(data, findings.points, entries), drawing=charts,
        runs=table.runs_table(runs, len(findings.runs), findings.folder, at), commands=findings.commands,
        pictures=pictures(findings.pictures), about=", ".join(map(str, findings.runs["model"].dropna().unique()[:3])),
        **_words(findings), **_tables(findings),
    )  # fmt: skip


def policy(style: str, script: str) -> str:
    """A content security policy: this style sheet, this script, pictures inside the page, and nothing from anywhere."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _words(findings: Findings) -> dict[str, object]:
    """What summary.md says too, by the same functions."""
    return {
        "status": summary.status_line(findings.runs), "method": summary.METHOD,
        "headlines": summary.headlines(findings.ratios), "explained": explained(summary.ratio_lines(findings.ratios)),
        "claims": claims(findings.ratios, findings.points),
        "pruned": findings.pruned, "pruning_method": pruning.METHOD,
        "not_compared": summary.not_compared(findings.compared, findings.runs),
    }  # fmt: skip


def _tables(findings: Findings) -> dict[str, object]:
    return {
        "ratios": comparisons.ratio_table(findings.ratios),
        "delta_ces": comparisons.delta_ce_table(findings.delta_ces),
        "cost": table.cost_table(findings.runs), "absent": table.absent_table(summary.absent(findings.runs)),
        "provenance": provenance.provenance(findings.runs), "settings": provenance.shared_settings(findings.runs),
    }  # fmt: skip
