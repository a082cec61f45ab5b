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
from pipeline.figures.draw_all import DrawnFigure
from pipeline.figures.style import look
from pipeline.report import table
from pipeline.report.figures import shown
from pipeline.report.inline_svg import StyleClasses
from tests.factories import Sweep, Text, put
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
        assert re.match(r"#|\.\./|[\w]+\.(csv|md|png|svg|pdf)$", attributes.get("href") or "#")


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    first = two_arms(tmp_path).read_bytes()
    assert write(tmp_path, "s", "replicates=200").read_bytes() == first


def points(page: Path) -> list[dict[str, str | None]]:
    """Markers that stand for a run of the table."""
    return [use for use in Elements(page).all("use") if "data-row" in use]


def style_of(page: Path, name: str | None) -> str:
    (found,) = re.findall(rf"^\.{name} {{ (.*) }}$", page.read_text(), re.MULTILINE)
    return found


def test_every_finished_run_is_a_point_of_each_measure_and_says_its_numbers(page: Path) -> None:
    runs = pd.read_csv(page.parent / "runs.csv")
    done = runs[runs["status"] == "done"]
    labels = {(int(use["data-row"] or -1), use["aria-label"]) for use in points(page)}
    forms = {"loss_recovered": "loss recovered", "gamma": "gamma", "alive_fraction": "alive"}
    assert labels == {
        (row, f"{run['architecture']} ({run['architecture.expansion']:g} x d_in): L0 {run['l0']:.4g}, "
              f"{words} {run[name]:.4g}")
        for row, run in done.iterrows() for name, words in forms.items()
    }  # fmt: skip
    assert len(labels) == len(points(page)) == 3 * 17


def test_points_lie_where_their_numbers_are(page: Path) -> None:
    """Of one arm in one panel and measure: further right with a larger L0, higher with a larger value."""
    groups: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    numbers = re.compile(r"(.*): L0 ([\d.]+), (.*) (-?[\d.]+)")
    runs = pd.read_csv(page.parent / "runs.csv")
    for use in points(page):
        arm, l0, measure, value = numbers.fullmatch(use["aria-label"] or "").groups()  # type: ignore[union-attr]
        key = (runs.loc[int(use["data-row"] or -1), "site"], f"{arm} {measure}")
        groups.setdefault(key, []).append((float(l0), float(use["x"] or 0), float(value), -float(use["y"] or 0)))
    assert len(groups) == 2 * 2 * 3
    for found in groups.values():
        for known, drawn in ((0, 1), (2, 3)):
            in_order = sorted((one[known], one[drawn]) for one in found)
            assert [at for _, at in in_order] == sorted(at for _, at in in_order)


def test_dominated_runs_are_hollow_and_colours_those_of_the_arms(page: Path) -> None:
    runs = pd.read_csv(page.parent / "runs.csv")
    for use in points(page):
        run, words = runs.iloc[int(use["data-row"] or -1)], style_of(page, use["class"])
        colour = look(run["architecture"]).colour.lower()
        assert f"stroke: {colour}" in words
        assert f"fill: {colour if run['on_frontier'] else '#ffffff'};" in words


def test_ids_are_unique_and_every_reference_is_to_one(page: Path) -> None:
    elements = Elements(page)
    ids = Counter(attributes["id"] for _, attributes in elements.found if "id" in attributes)
    assert set(ids.values()) == {1}
    text = page.read_text()
    used = {use["href"] for use in elements.all("use")} | set(re.findall(r'url\((.*?)\)"', text))
    assert len(used) > 50 and used <= {f"#{name}" for name in ids}


def test_a_figure_too_large_for_the_page_is_its_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.figures.LARGEST", 10)
    files = [tmp_path / f"figure_1.{kind}" for kind in ("png", "svg")]
    for path in files:
        path.write_bytes(b"eleven long")
    found = shown(DrawnFigure("figure_1", "caption", pd.DataFrame(), files), {}, StyleClasses())
    assert found.svg == "" and found.png == f"data:image/png;base64,{base64.b64encode(b'eleven long').decode()}"


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
    assert "5 runs are not in the table of runs, dominated ones first" in elements.text
    assert Counter(use["data-row"] for use in points(page)) == dict.fromkeys(map(str, range(8)), 3)
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


@pytest.mark.slow
def test_points_of_a_table_have_no_folder(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "docs" / "gated_paper_tables.csv"
    with without_figures():
        assert plot_pareto.main([f"source={source}", f"results_dir={tmp_path}", "replicates=0"]) == 0
    elements = Elements(tmp_path / "gated_paper_tables" / "report.html")
    assert "gated_paper_tables-line-2" in elements.text and "source=gated_paper_tables.csv" in elements.text
    assert {a["href"] for a in elements.all("a") if (a["href"] or "").startswith("..")} == set()
