"""No two texts of a figure overlap, none leaves the page or runs into a panel; on input that is busy on purpose."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from pipeline.figures.find import figures
from pipeline.figures.inputs import FigureInputs
from pipeline.figures.panels import MOST_PIXELS, finish, log_axis
from tests.figures.synthetic import busy, leave, of, row, written

SLACK = 0.5  # pixels


def overlapping(figure: Figure) -> list[str]:
    """What is wrong with a figure's texts, a line each."""
    texts = written(figure)
    page = figure.bbox
    wrong = [f"{text!r} leaves the page" for text, box in texts if not _inside(box, page)]
    for (first, one), (second, other) in combinations(texts, 2):
        if _cross(one, other):
            wrong.append(f"{first!r} and {second!r}")
    inner = {text.get_text() for axes in figure.axes for text in axes.texts}
    for text, box in texts:
        wrong += [f"{text!r} in a panel" for axes in figure.axes if text not in inner and _cross(box, axes.bbox)]
    return wrong


def _cross(one: Bbox, other: Bbox) -> bool:
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > SLACK and min(one.y1, other.y1) - max(one.y0, other.y0) > SLACK
    )


def _inside(box: Bbox, page: Bbox) -> bool:
    return box.x0 >= -SLACK and box.y0 >= -SLACK and box.x1 <= page.x1 + SLACK and box.y1 <= page.y1 + SLACK


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> FigureInputs:
    folder = tmp_path_factory.mktemp("sweeps")
    return of(busy(folder), folder, thresholds=(0.1, 0.4))


@pytest.mark.slow
@pytest.mark.parametrize("name", figures())
def test_busy(name: str, crowded: FigureInputs) -> None:
    figure = figures()[name]
    points = figure.data(crowded)
    assert len(points)
    assert overlapping(figure.draw(points, crowded.looks)) == []


@pytest.mark.slow
@pytest.mark.parametrize("sites", [1, 2, 4])
@pytest.mark.parametrize("name", figures())
def test_few_panels(name: str, sites: int, tmp_path: Path) -> None:
    rows = [
        row(architecture, lam, site=site)
        for site in ("attn_z", "mlp_out", "mlp_post", "resid_post")[:sites]
        for architecture in ("gated", "baseline", "gated_untied", "baseline_rescale_shift")
        for lam in (0.01, 0.1, 1.0, 4.0)
    ]
    for one in rows:
        leave(tmp_path, one)
    source = of(rows, tmp_path, thresholds=(0.1,))
    figure = figures()[name]
    assert overlapping(figure.draw(figure.data(source), source.looks)) == []


@pytest.mark.parametrize("room", [2, 4, 6])
@pytest.mark.parametrize(("low", "high"), [(1, 100), (0.93, 1.04), (3, 9), (12, 14), (0.2, 7e5), (1e-9, 1e9), (4, 11)])
def test_a_logarithmic_axis_has_at_least_two_numbers_and_no_more_than_there_is_room_for(
    low: float, high: float, room: int
) -> None:
    axes = Figure().add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    log_axis(axes.xaxis, low, high, room)
    places = [at for at in axes.get_xticks() if low <= at <= high]
    assert 1 + (room > 2) <= len(places) <= room + 1
    assert len({axes.xaxis.get_major_formatter()(at, 0) for at in places}) == len(places)


def test_a_hundred_rows_of_panels_are_a_picture_that_can_be_drawn() -> None:
    figure = Figure(figsize=(7, 400))
    figure.add_subplot()
    finish(figure, "tall", [])
    assert figure.dpi * 400 <= MOST_PIXELS


def test_the_check_sees_an_overlap() -> None:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.set_title("a title")
    assert overlapping(figure) == []
    axes.text(0.5, 0.5, "one", transform=axes.transAxes)
    axes.text(0.52, 0.5, "two", transform=axes.transAxes)
    figure.text(0.4, 0.3, "into the panel")
    assert overlapping(figure) == ["'one' and 'two'", "'into the panel' in a panel"]
