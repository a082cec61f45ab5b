"""The guide to runs.csv describes every column, and tables for people call them the same."""

import csv
import io
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks.composed import compose
from pipeline.analysis.compute_efficiency import compute_hits
from pipeline.analysis.table import EXPECTED, FIRST
from pipeline.cli.settings_help import settings, settings_of
from pipeline.comparison import robustness, tables, vertical
from pipeline.config.checked import parts
from pipeline.config.launcher import LAUNCHERS
from pipeline.config.meanings import SETTINGS
from pipeline.config.schema import DataConfig, EvalConfig, ModelConfig, ResampleConfig, SiteConfig, TrainConfig
from pipeline.monitoring import results_table
from pipeline.records import columns
from pipeline.records.columns import AXES
from pipeline.records.sweep import OnDisk
from pipeline.records.table_columns import TABLES as TABLE_COLUMNS
from pipeline.records.table_columns import meaning_in
from pipeline.report import table, terminal
from pipeline.sae.registry import config_class, registered
from pipeline.storage.places import BASE
from pipeline.training.trainer import HISTORY_COLUMNS

PUBLISHED = BASE / "results" / "reference" / "gated_vs_baseline"


def test_every_column_of_the_committed_results_is_described() -> None:
    with (PUBLISHED / "runs.csv").open() as file:
        names = next(csv.reader(file))
    assert len(names) > 100
    assert [name for name in names if len(columns.meaning(name).split()) < 2] == []


TABLES = sorted({path.name for path in PUBLISHED.glob("*.csv")} - {"runs.csv", "columns.csv"})


def test_the_published_guide_is_of_this_code() -> None:
    with (PUBLISHED / "runs.csv").open() as file:
        guide = columns.guide(next(csv.reader(file)))
    with (PUBLISHED / "columns.csv").open() as file:
        assert list(csv.DictReader(file)) == guide


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_every_other_table_is_described(name: str) -> None:
    with (PUBLISHED / name).open() as file:
        names = next(csv.reader(file))
    assert [column for column in names if len(meaning_in(name, column).split()) < 2] == []


DECLARED = {
    "l0_ratio.csv": tables.RATIOS, "l0_ratio_curve.csv": tables.CURVE, "saved.csv": tables.SAVINGS,
    "verdicts.csv": tables.VERDICTS, "documents.csv": tables.DOCUMENTS, "ce_at_l0.csv": vertical.COLUMNS,
    "robustness.csv": robustness.COLUMNS,
}  # fmt: skip


@pytest.mark.parametrize("name", DECLARED)
def test_every_column_that_the_code_declares_is_described(name: str) -> None:
    assert [column for column in DECLARED[name] if not meaning_in(name, column)] == []


def test_columns_of_tables_that_are_not_published_are_described() -> None:
    assert [column for column in HISTORY_COLUMNS if column not in TABLE_COLUMNS["history.csv"]] == []
    runs = pd.DataFrame([{"run": "a", "model": "m", "site": "s", "layer": 0, "architecture": "gated", "l0": 9.0,
                          "ce_clean": 3.0, "ce_sae": 3.1, "status": "done"}])  # fmt: skip
    found = compute_hits(runs, (np.array([1.0, 2.0]), np.array([4.0, 2.0])))
    assert [column for column in found if not meaning_in("compute_hit.csv", column)] == []


def test_every_setting_has_one_meaning() -> None:
    keys = {key for key, hint in settings() if not is_dataclass(parts(hint)[0])} - {"architecture"}
    for name in registered():
        keys |= {key for key, _ in settings_of(config_class(name), "architecture")}
    for options in LAUNCHERS.values():
        keys |= {key for key, _ in settings_of(options, "hydra.launcher")}
    keys -= {"train.resample", "model.shape"}
    assert keys - {*SETTINGS} == set()
    assert {*SETTINGS} - keys == {"model.shape"}
    assert len({*SETTINGS.values()}) == len(SETTINGS)


def test_what_aggregation_and_the_configuration_add_is_described_by_name() -> None:
    settings = {f"train.{one.name}" for one in fields(TrainConfig)} - {"train.resample"}
    settings |= {f"train.resample.{one.name}" for one in fields(ResampleConfig)}
    for section, kind in (("data", DataConfig), ("eval", EvalConfig), ("model", ModelConfig), ("site", SiteConfig)):
        settings |= {f"{section}.{one.name}" for one in fields(kind)}
    settings -= {"data.path", "model.path", "model.layer", "site.name"}  # not in the table, or under another name
    assert {*FIRST, *EXPECTED, *settings} - {*columns.MEANINGS} == set()
    assert columns.meaning("architecture.of_a_user") == "setting of the architecture"
    assert columns.meaning("delta_ce_low").startswith("lower end of the 95 % interval of delta_ce")
    assert columns.meaning("whatever") == ""


def test_screen_page_and_table_of_results_have_the_same_names() -> None:
    for name in (results_table.LAMBDA, *results_table.MEASURED, *terminal.BEFORE, *terminal.AFTER, *table.MEASURED):
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
