"""A page of a synthetic sweep, and a browser to open it with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf

from pipeline import plot_pareto
from pipeline.figures import find
from tests.factories import Sweep, Text
from tests.report.browser import Browser, why_not

HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 1\"> & 'b' \u2028 {{ 7 * 7 }}"
)
SITE = '"><b>&amp;'


def without_figures() -> Any:
    """They take most of the time."""
    return patch("pipeline.report.results.draw_figures", return_value=[])


@contextmanager
def only_svg(*names: str) -> Iterator[None]:
    """Of these figures, and nothing but the SVG, which the page shows."""
    chosen = {name: figure for name, figure in find.figures().items() if name in names}
    with (
        patch("pipeline.figures.draw_all.figures", return_value=chosen),
        patch.object(FigureCanvasAgg, "print_png"),
        patch.object(FigureCanvasPdf, "print_pdf"),
    ):
        yield


def write(folder: Path, sweep: str, *arguments: str) -> Path:
    """The page of a sweep whose records are in folder/sweeps, with three measures against L0."""
    folders = [f"sweeps_dir={folder / 'sweeps'}", f"results_dir={folder / 'results'}"]
    with only_svg("figure_1", "figure_6"):
        assert plot_pareto.main([f"sweep={sweep}", *folders, *arguments]) == 0
    return folder / "results" / sweep / "report.html"


def hostile_sweep(folder: Path) -> Path:
    """Two arms at two sites, one with a name that attacks the page; a run is dominated, one failed, one missing."""
    sweep, text = Sweep(folder / "sweeps"), Text(sequences=90, documents=30)
    for site in ("mlp_out", SITE):
        sweep.arms(text, site=site)
    sweep.run("gated", 9.0, 60.0, 0.5, text, gamma=0.97, dead_fraction=0.4)
    sweep.absent("gated", 8.0, failure=HOSTILE, text=text)
    sweep.absent("baseline", 7.5, text=text)
    sweep.write("<b>&amp; sweep")
    return write(folder, "<b>&amp; sweep", "replicates=200")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_sweep(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def started() -> Iterator[Browser]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(started: Browser) -> Browser:
    """As it was started, with a wide window in light colours."""
    started.media()
    started.size(1280)
    return started
