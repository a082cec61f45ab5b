"""Matplotlib's SVG as part of the page: names of its own, no style attributes, nothing from elsewhere."""

import re
from io import BytesIO

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pipeline.figures.marker_ids import rows_gid
from pipeline.report.inline_svg import PlotPoint, StyleClasses, inline

HEAD = b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10">'


def of(content: bytes, classes: StyleClasses | None = None, name: str = "f") -> str:
    return inline(HEAD + content + b"</svg>", name, "<label>", lambda _: [], classes or StyleClasses())


def plotted() -> bytes:
    """Two axes, the second with three points."""
    figure = Figure()
    figure.add_subplot(1, 2, 1).plot([1, 2, 3], marker="o")
    figure.add_subplot(1, 2, 2).plot(
        [1, 2, 3], [5, 4, 6], marker="o", linestyle="none", gid=rows_gid("gamma", [4, 0, 2])
    )
    content = BytesIO()
    FigureCanvasSVG(figure).print_svg(content)
    return content.getvalue()


def test_points_have_their_rows_and_words_and_their_panel_is_marked() -> None:
    asked = []

    def points(gid: str) -> list[PlotPoint | None]:
        asked.append(gid)
        return [PlotPoint(7, 'a "b" <c>'), None, PlotPoint(1, "second")] if gid == "points.gamma.4-0-2" else []

    markup = inline(plotted(), "f", "label", points, StyleClasses())
    assert "points.gamma.4-0-2" in asked
    assert re.findall(r'data-row="(\d+)"', markup) == ["7", "1"]
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in markup
    assert markup.count('class="panel"') == 1 and "points." not in markup


def test_a_group_with_another_number_of_markers_is_not_tied() -> None:
    markup = inline(
        plotted(), "f", "label", lambda gid: [PlotPoint(0, "")] if gid.startswith("points") else [], StyleClasses()
    )
    assert "data-row" not in markup


def test_figures_do_not_share_names_but_do_share_styles() -> None:
    classes, svg = StyleClasses(), plotted()
    first, second = (inline(svg, name, "l", lambda _: [], classes) for name in ("one", "two"))
    ids = [re.findall(r' id="(.*?)"', markup) for markup in (first, second)]
    assert ids[0] and not {*ids[0]} & {*ids[1]} and len({*ids[0]}) == len(ids[0])
    assert str(first).replace("one.", "two.") == second
    assert "style=" not in first and "<style" not in first and "://" not in first
    names = set(re.findall(r'class="(s\d+)"', first))
    assert names == set(re.findall(r"^\.(s\d+) ", classes.css(), re.MULTILINE))


def test_nothing_leads_away_and_no_rule_gets_out() -> None:
    picture = "data:image/png;base64,AAAA"
    content = (
        '<a xlink:href="https://example.org"><path id="m" style="fill: red} body { display: none"/></a>'
        f'<use xlink:href="#m"/><image xlink:href="{picture}"/><rect style="fill: url(#m)"/>'
    )
    classes = StyleClasses()
    markup = of(content.encode(), classes)
    assert re.findall(r'href="(.*?)"', markup) == ["#", "#f.0", picture]
    assert classes.css() == ".s1 { fill: url(#f.0) }" and 'aria-label="&lt;label&gt;"' in markup
