"""The guide to runs.csv describes every column, and tables for people call them the same."""

import csv
import io
from dataclasses import fields, replace

import pytest
from rich.console import Console

from benchmarks.composed import compose
from pipeline.analysis.table import EXPECTED, FIRST
from pipeline.config.schema import DataConfig, EvalConfig, ModelConfig, ResampleConfig, SiteConfig, TrainConfig
from pipeline.monitoring import results_table
from pipeline.records import columns
from pipeline.records.columns import AXES
from pipeline.records.sweep import OnDisk
from pipeline.report import table, terminal
from pipeline.storage.places import BASE


def test_every_column_of_the_committed_results_is_described() -> None:
    with (BASE / "results" / "reference" / "gated_vs_baseline" / "runs.csv").open() as file:
        names = next(csv.reader(file))
    assert len(names) > 100
    names = [name for name in names if name not in {"model.layer", "numerics_version"}]  # of an older version
    assert [name for name in names if len(columns.meaning(name).split()) < 2] == []


def test_what_aggregation_and_the_configuration_add_is_described_by_name() -> None:
    settings = {f"train.{one.name}" for one in fields(TrainConfig)} - {"train.resample"}
    settings |= {f"train.resample.{one.name}" for one in fields(ResampleConfig)}
    for section, kind in (("data", DataConfig), ("eval", EvalConfig), ("model", ModelConfig), ("site", SiteConfig)):
        settings |= {f"{section}.{one.name}" for one in fields(kind)}
    settings -= {"data.path", "model.path", "model.layer", "site.name"}  # not in the table, or under another name
    assert {*FIRST, *EXPECTED, *settings} - {*columns.MEANINGS} == set()
    assert columns.meaning("architecture.of_a_user") == "setting of the architecture"
    assert columns.meaning("delta_ce_low").startswith("end of the 95 % interval of delta_ce")
    assert columns.meaning("whatever") == ""


def test_screen_page_and_table_of_results_have_the_same_names() -> None:
    for name in (*results_table.SETTINGS, *results_table.MEASURED, *terminal.BEFORE, *terminal.AFTER, *table.MEASURED):
        assert columns.heading(name) == columns.HEADINGS.get(name, name)
    assert set(results_table.MEASURED) == set(terminal.AFTER) <= set(table.MEASURED)
    assert columns.heading(AXES[0]) == "lambda"


def test_markup_in_a_reason_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    monkeypatch.setattr(results_table, "console", lambda: console)
    run = replace(compose(["architecture=gated", "site=mlp_out"]), site=SiteConfig("[red]x", "blocks.{layer}.x"))
    failed = OnDisk("failed", failure={"error": "Error", "reason": "[/x] [bold]loud[/bold]"})
    assert not results_table.print_results({run: failed})
    text = console.export_text()
    assert (
        "[red]x" in text and "failed: [/x] [bold]loud[/bold]" in text and "lambda" in text and "loss recovered" in text
    )
