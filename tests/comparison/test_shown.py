"""The tables of words that summary.md and the page share: what stands in them, and what they leave out."""

from pathlib import Path

import pytest

from pipeline.analysis.table import read_pruned, read_sweep
from pipeline.comparison import shown_claims, shown_numbers
from pipeline.comparison.findings import Findings, findings
from pipeline.comparison.shown import NOTHING, shown
from pipeline.comparison.summary import MOST_ROWS, _markdown, ratio_lines, summary
from tests.factories import Sweep, Text

ABOVE = "Gated is above the baseline: as faithful with fewer active features."


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def found_in(sweep: Sweep, replicates: int = 200) -> Findings:
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    return findings(runs, sweep.sweeps_dir, replicates, read_pruned(sweep.sweeps_dir, runs))


def test_every_table_names_the_fronts_where_there_are_several(sweep: Sweep) -> None:
    text = Text(sequences=90, documents=30)
    sweep.arms(text)
    (row,) = shown_numbers.ratios(found_in(sweep)).rows
    assert row[:2] == ("mlp_out, layer 1", "width_1.5 + equal_seconds")
    for number, (l0, recovered) in enumerate(((6, 0.6), (12, 0.75), (24, 0.85), (48, 0.92))):
        sweep.run("topk", 4.0 - number, l0, recovered, text)
    table = shown_numbers.ratios(found_in(sweep))
    assert table.columns["fronts"] == ["baseline / gated (48 / 32)", "baseline / topk (48 / 32)"]
    assert all(cell.startswith(word) for cell, word in zip(table.columns["ratio"], ("2.", "1."), strict=True))


def test_an_interval_that_was_not_measured_has_no_column_and_no_seed_no_further_verdict(sweep: Sweep) -> None:
    sweep.arms(Text(sequences=90, documents=30))
    found = found_in(sweep)
    table = shown_numbers.ratios(found)
    assert "95 %, over sequences" in table.columns and not {"95 %, over seeds", "repeat, new seeds"} & set(
        table.columns
    )
    assert table.columns["verdict"] == ["above for these SAEs"]
    assert shown_claims.verdicts(found).columns["as trained"][0] == "supported for these SAEs: 1 above"
    (line,) = ratio_lines(found)
    assert "width_1.5 + equal_seconds: above for these SAEs: L0 ratio 2.0" in line


def test_three_seeds_give_every_interval_and_the_whole_verdict(sweep: Sweep) -> None:
    sweep.arms(Text(sequences=90, documents=30), seeds=3, noise=0.02)
    found = found_in(sweep)
    table = shown_numbers.ratios(found)
    assert {"95 %, over sequences", "95 %, over seeds", "95 %, over both", "repeat, new seeds"} <= set(table.columns)
    assert shown_claims.verdicts(found).columns["as trained"][0] == "supported: 1 above"
    assert "for these SAEs" not in summary("s", found)


def test_pruned_verdicts_stand_beside_those_as_trained_and_first_where_they_differ(sweep: Sweep) -> None:
    for folder in sweep.arms(noise=0.02)["baseline"]:
        sweep.prune(folder, {0.1: (0.4, 0.0)})  # it needs 2 times as many as gated, and 0.8 times when pruned
    found = found_in(sweep)
    table = shown_claims.verdicts(found)
    assert list(table.columns) == ["claim", "as trained", "reference pruned"]
    assert table.rows[0] == (ABOVE, "supported for these SAEs: 1 above", "contradicted for these SAEs: 1 below")
    (line, *_) = shown_claims.turned(found)
    said = "As trained: supported for these SAEs; reference pruned: contradicted for these SAEs."
    assert line == f"{ABOVE} {said}"
    words = summary("s", found)
    assert words.index("## Read this first") < words.index(line) < words.index("## Claims")
    assert "reference pruned" not in str(shown_numbers.moved(found)), "pruning asks another question"
    assert "reference pruned" in shown_numbers.robustness(found).columns["choice"]


def test_losses_at_equal_l0_have_a_dash_where_a_front_does_not_reach(sweep: Sweep) -> None:
    sweep.arms()  # gated from 5 to 40, the baseline from 10 to 80
    table = shown_numbers.ce_at_l0(found_in(sweep))
    at = dict(zip(table.columns["L0"], table.rows, strict=True))
    assert set(at) == {"10", "20", "50", "5 to 30, mean"}
    names = list(table.columns)
    assert at["50"][names.index("candidate")] == NOTHING != at["50"][names.index("reference")]
    difference = at["20"][names.index("reference minus candidate")]
    assert float(difference.split(" ")[0]) == pytest.approx(0.5 * (0.85 - 0.75), abs=0.02)


def test_markdown_keeps_names_apart_and_says_what_it_leaves_out() -> None:
    table = shown([{"a": f"<b>{n}|\n", "b": ""} for n in range(MOST_ROWS + 2)], ["a", "b"])
    lines = _markdown(table, "all.csv").splitlines()
    assert lines[:3] == ["| a |", "| --- |", "| &lt;b&gt;0\\| |"]
    assert len(lines) == 2 + MOST_ROWS + 2 and lines[-1] == "2 more are in all.csv."
