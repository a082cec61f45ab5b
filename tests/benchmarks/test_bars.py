"""The verdict of `make bench`: what is printed last, and the exit code."""

import pytest

from benchmarks import run
from benchmarks.bars import BARS, Bar, add_figures, read_figures, table, verdict
from benchmarks.run import PARTS
from pipeline.errors import UserError

HOLDING = {name: bar.limit for name, bar in BARS.items()}
PART_NAMES = list(PARTS)


def test_a_limit_itself_holds_on_either_side():
    assert Bar("x", "x", "at most", 2.0).holds(2.0) and not Bar("x", "x", "at most", 2.0).holds(2.01)
    assert Bar("x", "x", "at least", 4.0).holds(4.0) and not Bar("x", "x", "at least", 4.0).holds(3.99)


def test_every_bar_belongs_to_a_part_that_is_run():
    assert {bar.part for bar in BARS.values()} <= set(PARTS)


def test_all_bars_hold():
    assert verdict(HOLDING, PART_NAMES) == (f"bench: all {len(BARS)} bars hold", 0)


@pytest.mark.parametrize("name", BARS)
def test_a_missed_bar_is_named_and_fails(name):
    bar = BARS[name]
    worse = bar.limit * (2.0 if bar.kind == "at most" else 0.5)
    line, code = verdict(HOLDING | {name: worse}, PART_NAMES)
    assert code == 1 and f"MISSED: {bar.what}" in line and line.count("MISSED") == 1


def test_a_figure_that_is_not_a_number_is_missed():
    assert verdict(HOLDING | {"step_large": float("nan")}, PART_NAMES)[1] == 1


def test_what_was_not_measured_fails_in_a_quick_run_too():
    figures = {name: value for name, value in HOLDING.items() if name != "one_more_run"}
    for quick in (False, True):
        line, code = verdict(figures, PART_NAMES, quick)
        assert code == 1 and f"NOT MEASURED: {BARS['one_more_run'].what}" in line


def test_parts_that_were_not_asked_for_are_not_judged():
    assert verdict({"one_more_run": 1.0}, ["pack"]) == ("bench: all 1 bars hold", 0)
    assert [row["what"] for row in table({}, ["pack"]).rows] == [BARS["one_more_run"].what]


def test_a_quick_run_judges_no_bar():
    line, code = verdict(HOLDING | {"one_more_run": 9.0}, PART_NAMES, quick=True)
    assert code == 0 and "too short to judge" in line
    assert {row["finding"] for row in table(HOLDING, PART_NAMES, quick=True).rows} == {"not judged"}


def test_figures_of_several_parts_accumulate(tmp_path):
    add_figures(tmp_path, {"one_more_run": 1.05})
    add_figures(tmp_path, {"grid_saelens": 5.0})
    assert read_figures(tmp_path) == {"one_more_run": 1.05, "grid_saelens": 5.0}


def test_a_figure_without_a_bar_is_an_error(tmp_path):
    with pytest.raises(KeyError, match="speed"):
        add_figures(tmp_path, {"speed": 1.0})


def test_what_is_published_names_its_command_and_replaces_what_lay_there(tmp_path, monkeypatch):
    out, published = tmp_path / "out", tmp_path / "results" / "published"
    published.mkdir(parents=True)
    (published / "old.csv").write_text("of other code")

    def part(name, options):
        table({"one_more_run": 1.0}, [name]).show(options.out)
        add_figures(options.out, {"one_more_run": 1.0})
        return True

    monkeypatch.setattr(run, "run_part", part)
    monkeypatch.setattr(run, "BASE", tmp_path)
    monkeypatch.setattr(run, "REFERENCE", published)
    arguments = ["parts=pack", "publish=true", "threads=1", f"out={out}"]
    assert run.bench(arguments) == 0
    text = (published / "README.md").read_text()
    assert f'make bench BENCH="{" ".join(arguments)}"' in text and "at commit" in text and "all 1 bars hold" in text
    assert {path.name for path in published.iterdir()} == {"README.md", "bars.csv"}


def test_a_quick_run_is_not_published():
    with pytest.raises(UserError, match="without quick=true"):
        run.bench(["quick=true", "publish=true"])
