"""The page in a real browser that can reach nothing: what it shows under the pointer, by keyboard, sorted, printed."""

from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest

from pipeline import plot_pareto
from pipeline.analysis.external_points import read_source
from pipeline.analysis.frontier import on_frontier
from pipeline.comparison import tables
from pipeline.comparison.findings import findings
from pipeline.figures import figure_1
from pipeline.report.page import Results
from pipeline.report.page import page as page_of
from pipeline.storage.places import BASE, PAPER_TABLE
from tests.report.browser import Browser
from tests.report.conftest import SITE

TIP = "document.getElementById('tip')"
FIRST_PANEL = "document.querySelector('#figures figure')"


def shown(browser: Browser) -> str:
    """What the tip says; nothing while it is hidden."""
    return browser.script(f"{TIP}.hidden ? '' : {TIP}.innerText")


def column(browser: Browser, heading: str) -> list[str]:
    return browser.script(f"""(() => {{
        const table = document.getElementById("runs");
        const number = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent).indexOf("{heading}");
        return Array.from(table.tBodies[0].rows, (row) => row.cells[number].textContent);
    }})()""")


def click_heading(browser: Browser, heading: str) -> None:
    number = browser.script(f"""Array.from(document.querySelectorAll("#runs th"), (cell) => cell.textContent)
                                     .indexOf("{heading}")""")  # fmt: skip
    browser.click(*browser.centre("#runs th button", number))


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


def untouched(browser: Browser, page: Path) -> None:
    """Nothing ran that is not ours, nothing was complained about, nothing but the page itself was asked for."""
    assert browser.faults == []
    assert browser.requests == [page.resolve().as_uri()]
    assert browser.script("window.hacked") is None


def test_a_point_under_the_pointer_shows_its_settings_and_its_folder(opened: Browser, page: Path) -> None:
    assert shown(opened) == ""
    opened.move(*opened.centre("#figures use[data-row='3']"))
    words = shown(opened)
    row = opened.script("document.querySelectorAll('#runs tbody tr')[3].innerText").split("\t")
    assert row[-1].startswith("sweeps/runs/mlp_out-baseline-3-0-")
    for name, value in (
        ("run folder", row[-1]),
        ("lambda", "3"),
        ("architecture", "baseline"),
        ("L0", column(opened, "L0")[3]),
    ):
        assert f"{name}\n{value}" in words
    opened.move(1, 1)
    assert shown(opened) == ""
    untouched(opened, page)


def test_beside_a_point_is_near_enough_and_far_from_all_is_not(opened: Browser) -> None:
    x, y = opened.centre("#figures use[data-row='3']")
    opened.move(x + 7, y - 5)
    assert "mlp_out-baseline-3-" in shown(opened)
    opened.move(x + 300, y - 5)
    assert "mlp_out-baseline-3-" not in shown(opened)


def test_a_click_keeps_what_a_point_shows(opened: Browser) -> None:
    x, y = opened.centre("#figures use[data-row='3']")
    opened.click(x, y)
    opened.move(1, 1)
    assert "mlp_out-baseline-3-" in shown(opened)
    link = opened.script(f"{TIP}.querySelector('a').getAttribute('href')")
    assert link.startswith("../../sweeps/runs/mlp_out-baseline-3-0-1-evaluation0-None")
    opened.press("Escape")
    assert shown(opened) == ""


def test_links_lead_to_the_runs(opened: Browser, page: Path) -> None:
    links = opened.script("Array.from(document.querySelectorAll('#runs td a'), (link) => link.href)")
    found = {path.as_uri() + "/" for path in (page.parent.parent.parent / "sweeps" / "runs").iterdir()}
    assert len(links) == 19 and set(links) == found


def test_the_keyboard_goes_from_point_to_point(opened: Browser, page: Path) -> None:
    for _ in range(60):
        opened.press("Tab")
        if opened.script("document.activeElement.matches('use')"):
            break
    first = shown(opened)
    assert "run folder\nsweeps/runs/" in first
    opened.press("ArrowRight")
    second = shown(opened)
    assert "run folder\nsweeps/runs/" in second and second != first
    opened.press("ArrowLeft")
    assert shown(opened) == first
    opened.press("Tab")  # one stop a panel
    assert opened.script(f"!{FIRST_PANEL}.contains(document.activeElement)")
    assert shown(opened) != first
    untouched(opened, page)


def test_headings_sort_numbers_as_numbers_and_leave_gaps_last(opened: Browser, page: Path) -> None:
    before = column(opened, "L0")
    numbers = sorted(float(text) for text in before if text != "\u2013")
    gaps = [text for text in before if text == "\u2013"]
    assert len(gaps) == 2 and [float(t) for t in before if t not in gaps] != numbers
    click_heading(opened, "L0")
    assert column(opened, "L0") == [f"{number:.2f}" for number in numbers] + gaps
    assert opened.script("document.querySelector('#runs th[aria-sort]').ariaSort") == "ascending"
    click_heading(opened, "L0")
    assert column(opened, "L0") == [f"{number:.2f}" for number in reversed(numbers)] + gaps
    click_heading(opened, "status")
    assert column(opened, "status") == ["done"] * 17 + ["failed", "missing"]
    opened.move(*opened.centre("#figures use[data-row='3']"))
    assert "mlp_out-baseline-3-" in shown(opened), "a point's run is the same after sorting"
    untouched(opened, page)


def test_hostile_names_are_text(opened: Browser) -> None:
    words = opened.script("document.body.innerText")
    assert SITE in words and "onerror=" in words and "{{ 7 * 7 }}" in words
    assert opened.script("document.querySelector('h1').textContent") == "<b>&amp; sweep"
    assert opened.script("document.querySelectorAll('img, script').length") == 1


def test_the_policy_lets_nothing_else_run_and_nothing_be_fetched(browser: Browser, page: Path, tmp_path: Path) -> None:
    """Also shows that the other tests would see it."""
    attack = '<img src="http://127.0.0.1:9/x.png"><script>window.hacked = 1</script><p style="color: red">'
    attacked = tmp_path / "attacked.html"
    attacked.write_text(page.read_text().replace("<header>", f"<header>{attack}"))
    browser.open(attacked)
    assert browser.script("window.hacked") is None
    for kind in ("image", "script", "style"):
        assert any("Content Security Policy" in fault and kind in fault for fault in browser.faults)


@pytest.mark.parametrize("width", [340, 768, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_window_is_too_narrow(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.size(width)
    browser.media(scheme=scheme)
    browser.open(page)
    assert browser.script("document.documentElement.scrollWidth") <= width
    browser.move(*browser.centre("#figures use[data-row='3']"))
    left, right = browser.script(f"(({{left, right}}) => [left, right])({TIP}.getBoundingClientRect())")
    assert 0 <= left < right <= width
    paper = browser.script("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")


def test_a_window_of_1400_cuts_no_table_and_shows_the_figures_themselves(browser: Browser, tmp_path: Path) -> None:
    """With the names and numbers of the committed results."""
    source = BASE / "results" / "reference" / "gated_vs_baseline" / "runs.csv"
    with patch("pipeline.figures.draw_all.figures", return_value={"figure_1": figure_1}):
        assert plot_pareto.main([f"source={source}", f"results_dir={tmp_path}"]) == 0
    page = tmp_path / "runs" / "report.html"
    browser.size(1400)
    browser.open(page)
    assert browser.script("document.documentElement.scrollWidth") <= 1400
    cut = """Array.from(document.querySelectorAll("table"), (table) => table.parentNode).filter((around) =>
        around.scrollWidth > around.clientWidth || around.scrollHeight > around.clientHeight).length"""
    assert browser.script("document.querySelectorAll('#runs tbody tr').length") == len(pd.read_csv(source))
    assert browser.script(cut) == 0
    assert browser.script("Array.from(document.images, (image) => image.naturalWidth > 500)") == [True]
    assert browser.faults == [] and {url for url in browser.requests if url[:5] != "data:"} == {page.resolve().as_uri()}
    links = browser.script("Array.from(document.querySelectorAll('#pictures a'), (link) => link.getAttribute('href'))")
    assert links == [f"figure_1.{kind}" for kind in ("png", "svg", "pdf", "csv")]
    assert all((page.parent / link).is_file() for link in links)


def test_printed_the_tables_fit_the_paper(browser: Browser, page: Path) -> None:
    browser.size(1039)  # A4 across, less its margins
    browser.media("print", "dark")
    browser.open(page)
    assert browser.script("document.documentElement.scrollWidth") <= 1039
    assert browser.script("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.pdf().startswith(b"%PDF")


def test_words_of_a_figure_do_not_touch(browser: Browser, tmp_path: Path) -> None:
    """On the paper's 27 panels, whose axes are of all kinds."""
    source = read_source(PAPER_TABLE)
    found = findings(source.runs, None, 0, source.runs.iloc[:0])
    runs = tables.with_intervals(found.runs, found.compared).assign(on_frontier=on_frontier(found.runs))
    (tmp_path / "paper.html").write_text(page_of(Results("paper", found, runs, None, []), tmp_path))
    browser.open(tmp_path / "paper.html")
    assert browser.script("document.querySelectorAll('figure').length") == 3 * 27
    touching = browser.script("""Array.from(document.querySelectorAll("figure svg")).flatMap((svg) => {
        const texts = Array.from(svg.querySelectorAll("text"));
        const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
        return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) =>
            p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom).map(([b]) => [a, b]));
    })""")
    assert touching == []
