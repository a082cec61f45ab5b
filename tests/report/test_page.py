"""What the page says, without a browser: the same words as summary.md, every run, nothing but text from records."""

import base64
import hashlib
import html
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from pipeline import plot_pareto
from pipeline.comparison import claims
from pipeline.figures.style import look
from pipeline.report import charts, table
from tests.comparison.records import Sweep, Text, put
from tests.report.conftest import HOSTILE, SITE, without_figures, write


class Elements(HTMLParser):
    """Tags with their attributes, and the text of the page's tables and paragraphs."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def two_arms(folder: Path, **where: object) -> Path:
    sweep = Sweep(folder / "sweeps")
    sweep.arms(Text(sequences=90, documents=30), **where)
    sweep.write("s")
    return write(folder, "s", "replicates=200")


def test_the_page_says_what_summary_says(page: Path) -> None:
    words = re.sub(r"\s+", " ", Elements(page).text)
    markdown = (page.parent / "summary.md").read_text()
    assert "<" not in markdown
    summary = html.unescape(markdown)
    rows = [line for line in summary.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) > 20
    for row in rows:
        for cell in re.split(r"(?<!\\) \| ", row.strip("| ")):
            verdict, _, numbers = cell.replace("\\|", "|").partition(":")  # a verdict stands out on the page
            assert verdict in words and numbers.strip() in words, cell
    lines = [line[2:] for line in summary.splitlines() if line.startswith("- ") and "**" not in line]
    assert len([line for line in lines if line in words or line.replace(":", "", 1) in words]) >= len(lines) - 2
    assert len([line for line in lines if line in claims.RULES.values() and line in words]) == 3
    assert "Judged on 2 pairs of fronts, 2 sites, 1 layer, 1 model, 1 text (gated against baseline, width_1.5)" in words
    assert "19 runs: 17 done, 1 failed, 1 missing. Reference / candidate, in all that follows: " in words


def test_verdicts_stand_first_with_their_scope(page: Path) -> None:
    summary = (page.parent / "summary.md").read_text()
    headings = re.findall(r"^## (.*)", summary, re.MULTILINE)
    assert headings[:3] == ["Read this first", "Claims", "L0 of the reference over L0 of the candidate"]
    claim = "Gated is above the baseline: as faithful with fewer active features."
    unfinished = "baseline: 4 of 5 declared points are finished, gated: 5 of 6 declared points are finished"
    assert f"| {claim} | supported for these SAEs: 2 above; at 1 of them {unfinished} |" in summary
    cells = re.findall(r'<strong class="(\w+)">(.*?)</strong>', page.read_text())
    assert cells[0] == ("supported", "supported for these SAEs") and len(cells) == 3


def test_whatever_comes_from_records_is_text(page: Path) -> None:
    elements = Elements(page)
    kinds = Counter(tag for tag, _ in elements.found)
    assert kinds["script"] == kinds["style"] == kinds["h1"] == 1 and not kinds["img"] and not kinds["b"]
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert HOSTILE in elements.text and SITE in elements.text and "<b>&amp; sweep" in elements.text


def test_the_policy_is_of_this_style_and_this_script(page: Path) -> None:
    text = page.read_text()
    (policy,) = (html.unescape(found) for found in re.findall(r'Content-Security-Policy" content="(.*?)"', text))
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy


def test_nothing_on_the_page_leads_away(page: Path) -> None:
    """Of addresses there is one: SVG's name, which nobody fetches."""
    text = page.read_text()
    assert set(re.findall(r"\w+://[^\"'\s]*", text)) == {"http://www.w3.org/2000/svg"}
    elements = Elements(page)
    for tag, attributes in elements.found:
        assert not {"src", "srcset", "action", "style", "background"} & set(attributes), tag
        assert re.match(r"#|\.\./|[\w]+\.(csv|md)$", attributes.get("href") or "#")


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    first = two_arms(tmp_path).read_bytes()
    assert write(tmp_path, "s", "replicates=200").read_bytes() == first


def test_dominated_runs_are_hollow_and_every_finished_run_is_in_each_figure(page: Path) -> None:
    marks = [use for use in Elements(page).all("use") if "data-row" in use]
    hollow = {use["data-row"] for use in marks if use.get("class") == "hollow"}
    runs = pd.read_csv(page.parent / "runs.csv")
    assert hollow == {str(row) for row in runs.index[(runs["status"] == "done") & ~runs["on_frontier"]]}
    assert Counter(use["data-row"] for use in marks) == dict.fromkeys(map(str, range(17)), 3)


def test_looks_are_those_of_the_figures(page: Path) -> None:
    text = page.read_text()
    for number, name in enumerate(("baseline", "gated")):
        assert f".a{number} {{ --arm: {look(name).colour.lower()};" in text
        assert f'<path id="m{number}" d="{charts.outline(look(name).marker)}"/>' in text
    assert len({charts.outline(marker) for marker in "os^DvPX*"}) == 8
    up = [float(y) for y in re.findall(r",(-?[\d.]+)", charts.outline("^"))]
    assert up[0] == min(up) < 0, "the tip points up, where SVG's y is small"


def test_the_line_of_a_front_goes_through_means_over_seeds(tmp_path: Path) -> None:
    page = two_arms(tmp_path, seeds=3)
    lines = Elements(page).all("polyline")
    assert len(lines) == 6 and all(len((line["points"] or "").split()) == 4 for line in lines)
    assert len([use for use in Elements(page).all("use") if "data-row" in use]) == 3 * 24


def test_intervals_are_drawn_where_there_are_some(tmp_path: Path) -> None:
    with_intervals = two_arms(tmp_path).read_text()
    (first, *others) = re.findall(r'class="bars" d="(.*?)"', with_intervals)
    assert len(others) == 3 and first.count("M") == 4, "of loss recovered and of gamma, for two arms"
    assert 'class="bars"' not in write(tmp_path, "s", "replicates=0").read_text()


def test_a_large_sweep_shows_its_fronts_first_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "RUNS_SHOWN", 8)
    sweep, text = Sweep(tmp_path / "sweeps"), Text()
    for number in range(5):
        sweep.run("gated", 20.0 + number, 50.0, 0.3, text)  # dominated
    sweep.arms(text)
    sweep.write("s")
    page = write(tmp_path, "s", "replicates=0")
    elements = Elements(page)
    assert "5 more rows are not shown here" in elements.text
    assert "5 runs are neither drawn nor in the table of runs, dominated ones first" in elements.text
    assert not [use for use in elements.all("use") if use.get("class") == "hollow"]
    assert elements.text.count("sweeps/runs/") == 8


def test_cost_counts_tokens_seconds_and_operations(tmp_path: Path) -> None:
    page = two_arms(tmp_path, training_flops=1.5e6)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.read_text()))
    # seconds, hours, tokens a second, FLOPs as the records have them
    assert "mlp_out 1 gated 32 4 10.0 0.011 80 1.50e+06" in text
    assert "mlp_out 1 baseline 48 4 10.0 0.011 80 1.50e+06" in text


def test_provenance_names_code_text_and_machine(tmp_path: Path) -> None:
    two_arms(tmp_path)
    for number, folder in enumerate(sorted((tmp_path / "sweeps" / "runs").iterdir())):
        record = json.loads((folder / "metrics.json").read_text())
        record["identity"]["data"] = {"name": "d", "digest": "0ddba11"}
        record["provenance"] = {"git": {"commit": "c0ffee", "dirty": number == 0}, "packages": {"torch": "2.13.0"}}
        put(folder / "metrics.json", record)
        attempt = {
            "training_seconds": 4.0,
            "hardware": "Abacus <9>",
            "finished": f"2026-11-0{number + 1}T00:00:00+0000",
        }
        put(folder / "execution.json", {"attempts": [{"peak_memory_bytes": 3e9}, attempt | {"peak_memory_bytes": 2e9}]})
    page = write(tmp_path, "s", "replicates=0")
    text = re.sub(r"\s+", " ", Elements(page).text)
    for said in (
        "commit c0ffee (7 runs), c0ffee and changes that no commit holds (1 run)", "torch 2.13.0",
        "hardware Abacus <9>",
        '{"name": "d", "digest": "0ddba11"}', "finished 2026-11-01T00:00:00+0000 to 2026-11-08T00:00:00+0000",
        "python pipeline/plot_pareto.py sweep=s replicates=0", "train.lr 0.001",
    ):  # fmt: skip
        assert said in text
    gigabytes = page.read_text().count(">3.00<")
    assert gigabytes == 8 + 2, "of each run and each arm, the most over attempts"


def test_a_sweep_that_has_hardly_begun_has_a_page(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "sweeps")
    sweep.absent("gated", 1.0)
    sweep.write("s")
    text = Elements(write(tmp_path, "s")).text
    assert "There is nothing to compare yet." in text and "nothing to draw yet" in text and "not begun" in text


def test_points_of_a_table_have_no_folder(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "docs" / "gated_paper_tables.csv"
    with without_figures():
        assert plot_pareto.main([f"source={source}", f"results_dir={tmp_path}", "replicates=0"]) == 0
    elements = Elements(tmp_path / "gated_paper_tables" / "report.html")
    assert "gated_paper_tables-line-2" in elements.text and "source=gated_paper_tables.csv" in elements.text
    assert {a["href"] for a in elements.all("a") if (a["href"] or "").startswith("..")} == set()
