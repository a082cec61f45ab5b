import csv

import pytest

from benchmarks.table import TABLES, Spread, Table


@pytest.fixture
def table() -> Table:
    made = Table("times", "times of all", {"what": "{}", "ms": "{:.1f}", "over_ours": "{:.2f}"})
    made.add(what="ours", ms=1.25)
    made.add(what="another", ms=123.456, over_ours=98.7648)
    return made


def test_columns_are_aligned_and_gaps_are_empty(table):
    assert table.text().splitlines() == [
        "times of all",
        "  what        ms  over ours",
        "  ours       1.2",
        "  another  123.5      98.76",
    ]


def test_the_csv_has_every_digit(table, tmp_path):
    table.show(tmp_path)
    with (tmp_path / "times.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"what": "another", "ms": "123.456", "over_ours": "98.7648"}
    assert (tmp_path / TABLES).read_text() == f"{table.text()}\n\n"


def test_a_wrong_column_is_an_error(table):
    with pytest.raises(KeyError, match="speed"):
        table.add(speed=1)


def test_spread_is_median_and_quartiles():
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0, 5)
    assert Spread.of([2.0, 1.0]) == Spread(1.5, 1.0, 2.0, 2)
