"""The page in a real browser that can reach nothing: what it shows under the pointer, by keyboard, sorted, printed."""

import base64
import json
import re
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from pipeline import plot_pareto
from pipeline.figures import figure_1, labels
from pipeline.storage.places import BASE
from tests.report.browser import Browser
from tests.report.conftest import SITE

TIP = "document.getElementById('tip')"
FIRST_PANEL = "document.querySelector('#figures .panel')"


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
    width = "document.querySelector('#figure_1 svg').getBoundingClientRect().width"
    assert browser.script(width) > 900
    untouched(browser, page)
    links = browser.script("Array.from(document.querySelectorAll('#figures a'), (link) => link.getAttribute('href'))")
    assert links == [f"figure_1.{kind}" for kind in ("png", "svg", "pdf", "csv")]
    assert all((page.parent / link).is_file() for link in links)


def test_printed_the_tables_fit_the_paper(browser: Browser, page: Path) -> None:
    browser.size(1039)  # A4 across, less its margins
    browser.media("print", "dark")
    browser.open(page)
    assert browser.script("document.documentElement.scrollWidth") <= 1039
    assert browser.script("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.pdf().startswith(b"%PDF")


def pixels(browser: Browser, selector: str) -> np.ndarray:
    """[height, width, 4] of an element, once nothing else is on the page, so that its corner lies on whole pixels."""
    browser.script(f"document.body.replaceChildren(document.querySelector({json.dumps(selector)}))")
    box = "(({x, y, width, height}) => [x, y, width, height])(document.body.firstChild.getBoundingClientRect())"
    x, y, width, height = browser.script(box)
    assert x == int(x) and y == int(y)
    clip = {"x": x, "y": y, "width": width, "height": int(height), "scale": 1}
    data = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
    image: np.ndarray = imread(BytesIO(base64.b64decode(data)))
    return image


@pytest.mark.parametrize("name", ["figure_1", "figure_6"])
def test_the_page_shows_the_figures_as_their_files_do(browser: Browser, page: Path, tmp_path: Path, name: str) -> None:
    browser.size(1600)  # in which all margins are whole pixels
    browser.open(page)
    shown = pixels(browser, f"#{name} svg")
    width = browser.script("document.body.firstChild.getAttribute('width')")
    file = (page.parent / f"{name}.svg").read_text()
    alone = tmp_path / "alone.html"
    alone.write_text(f"<!doctype html><body>{re.sub('width=.*? height=.*? ', f'width={width} ', file, count=1)}")
    browser.open(alone)
    expected = pixels(browser, "svg")
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() < 0.2, "but for the edges of lines"
    assert np.mean(shown[..., :3].min(2) < 0.9) > 0.02, "something is drawn"


@pytest.mark.parametrize("width", [340, 1280])
def test_no_word_of_a_figure_is_too_small_to_read(browser: Browser, page: Path, width: int) -> None:
    browser.size(width)
    browser.open(page)
    sizes = browser.script("""Array.from(document.querySelectorAll("figure svg"), (svg) =>
        svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)""")
    assert len(sizes) == 2 and min(sizes) * labels.SIZE >= 8, "pixels"
