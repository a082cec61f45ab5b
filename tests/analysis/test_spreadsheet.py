"""Tables as people save them: each read as the same points, or refused in one line that says what would be right."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline import plot_pareto
from pipeline.analysis.external_points import read_source
from pipeline.analysis.frontier import axes_of, points
from pipeline.errors import UserError
from pipeline.figures import style, versus_l0

GRID = [
    "architecture,model,site,layer,d_sae,sparsity_coefficient,l0,loss_recovered,x",
    *(f"gated,m,mlp_out,1,1024,{lam},{100 / lam},{1.0 - lam / 100:g},y" for lam in (1, 2, 4, 10)),
    *(f"baseline,m,mlp_out,1,1024,{lam},{100 / lam},{0.98 - lam / 100:g},y" for lam in (1, 2, 4, 10)),
]


def written(folder: Path, lines: list[str], name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def in_percent(form: Callable[[float], str], unit: str = "") -> list[str]:
    rows = [line.split(",") for line in GRID[1:]]
    names = GRID[0].replace("loss_recovered", f"loss_recovered{unit}")
    return [names, *(",".join([*row[:7], form(100 * float(row[7])), row[8]]) for row in rows)]


def german(lines: list[str]) -> list[str]:
    return [line.replace(",", ";").replace(".", ",") for line in lines]


def ways() -> dict[str, bytes]:
    """One table in the forms that spreadsheets and people give it."""
    text = "\n".join(GRID) + "\n"
    semicolons = text.replace(",", ";")
    rows = [line.split(",") for line in GRID]
    markdown = [
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|---" * 9 + "|",
        *("|" + "|".join(row) + "|" for row in rows[1:]),
    ]
    spelled = text.replace("loss_recovered", "Loss Recovered").replace("l0", "L0").replace("d_sae", "D-SAE", 1)
    broken = text.replace("sparsity_coefficient", '"sparsity\ncoefficient"').replace(",y\n", ',"a\nb"\n')
    return {
        "semicolons": semicolons.encode(),
        "tabs": text.replace(",", "\t").encode(),
        "pipes": text.replace(",", " | ").encode(),
        "markdown": "\n".join(markdown).encode(),
        "decimal commas": "\n".join(german(GRID)).encode(),
        "excel": ("sep=;\r\n" + semicolons.replace("\n", "\r\n")).encode("utf-8-sig"),
        "utf-16": text.encode("utf-16"),
        "utf-16 without a mark": text.encode("utf-16-le"),
        "old mac": text.replace("\n", "\r").encode(),
        "spaces": text.replace(",", " , ").encode(),
        "quotes": "\n".join(",".join(f'"{cell}" ' for cell in row) for row in rows).encode(),
        "spelling": spelled.replace("architecture", "Architecture").replace("gated", "Gated").encode(),
        "title": ("Results of May,,,,,,,,\n,,,,,,,,\n" + text).encode(),
        "index": "\n".join(f"{number or ''},{line}," for number, line in enumerate(GRID)).encode(),
        "blank lines": text.replace("\n", "\n,,,,,,,,\n\n").encode(),
        "line breaks": broken.encode(),
        "gzip": gzip.compress(text.encode()),
    }


@pytest.mark.parametrize("way", ways())
def test_a_table_is_the_same_however_it_was_saved(way: str, tmp_path: Path) -> None:
    expected = read_source(written(tmp_path, GRID)).runs
    (tmp_path / "points.csv").write_bytes(ways()[way])
    found = read_source(tmp_path / "points.csv").runs
    lines = found["run"].str.rpartition("-")[2].astype(int)
    assert lines.is_monotonic_increasing and lines.is_unique
    pd.testing.assert_frame_equal(found.drop(columns=["run", "x"]), expected.drop(columns=["run", "x"]))


WRONG = {
    "header alone": (GRID[:1], "has a header and no rows"),
    "nothing": ([], "is empty"),
    "blank": (["", "  ", ""], "is empty"),
    "delimiter": ([line.replace(",", ":") for line in GRID], "no column architecture or arch, no model.* commas, semi"),
    "twice": ([GRID[0] + ",L0", *(f"{line},0.5" for line in GRID[1:])], "two columns for l0"),
    "twice, by pandas": ([GRID[0] + ",l0.1", *(f"{line},0.5" for line in GRID[1:])], "two columns for l0"),
    "twice, by another name": ([GRID[0] + ",width", *(f"{line},5" for line in GRID[1:])], "two columns for d_sae"),
    "no name": ([GRID[0], GRID[1].replace("gated", "")], "line 2: architecture is blank"),
    "unknown site": ([*GRID[:2], GRID[2].replace("mlp_out", "n/a")], "line 3: site is blank"),
    "commas": ([GRID[0], GRID[1].replace(".", ",")], "line 2: 11 cells below 9 columns; decimal commas need another"),
    "only commas": ([",,,", ",,,"], "has no header"),
    "one percent sign": (
        [*GRID[:2], GRID[2].replace("0.98", "98%"), *GRID[3:]],
        "line 3: loss_recovered has a percent s",
    ),
    "no features": ([line.replace("1024", "0") for line in GRID], "line 2: d_sae=0 is not a whole number from 1 on"),
    "beyond whole": ([line.replace("1024", "9" * 20) for line in GRID], "is not a whole number from 1 on"),
    "all failed": ([GRID[0] + ",status", *(f"{line},failed" for line in GRID[1:])], "no row to draw"),
    "nothing finite": ([GRID[0], GRID[1].replace("100.0", "inf")], "no row to draw: points.csv: 1 rows, 1 left out"),
    "one in percent": ([*GRID[:4], GRID[4].replace("0.9,", "90,")], "line 5: loss_recovered=90 where other rows are"),
    "both marks": ([line.replace(",", ";").replace("0.99", "0,99") for line in GRID], "decimal comma, where line 2"),
    "percent": (in_percent(lambda value: f"{value:g}"), "loss_recovered is in percent .88 to 99.; give percent=true"),
    "percent sign": (in_percent(lambda value: f"{value:g} %"), "loss_recovered is in percent"),
    "percent above": (in_percent(lambda value: f"{value / 100:g}", " [%]"), "loss_recovered is in percent"),
    "negative lambda": ([*GRID[:3], GRID[3].replace(",4,", ",-4,")], "line 4: sparsity_coefficient=-4 is negative"),
    "percent and fractions": (
        [*in_percent(lambda value: f"{value:g}")[:8], GRID[8]],
        "line 2: loss_recovered=99 where other rows are fractions .0.88 in line 9.: the column mixes fractions",
    ),
    "unclosed quote": ([*GRID, '"gated,m'], "is not a CSV"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_mistake_is_one_line_that_names_it(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, expected = WRONG[kind]
    path = written(tmp_path, lines)
    assert plot_pareto.main([f"source={path}", f"results_dir={tmp_path / 'results'}"]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and re.search(expected, output.err), output.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"PK\x03\x04rest", "Excel workbook"), (b"PAR1rest", "a Parquet file"), (bytes(range(256)) * 4, "is not text"),
        (b"\x00" * 100, "is empty"), (b"\x1f\x8bnothing", "cannot be read"), (None, "is a folder"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_line(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "points.csv"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=expected) as caught:
        read_source(path)
    assert "\n" not in str(caught.value)


def test_what_tells_rows_apart_by_cross_entropies_is_no_percentage(tmp_path: Path) -> None:
    """A model whose ablation hardly matters recovers more than all of the loss."""
    row = "gated,m,mlp_out,1,1024,{},10,{},3.0,2.8,3.1"
    lines = [GRID[0].replace(",x", ",ce_clean,ce_sae,ce_zero"), row.format(1, 3.0), row.format(2, 3.0)]
    assert read_source(written(tmp_path, lines)).runs["loss_recovered"].to_list() == [3.0, 3.0]
    with pytest.raises(UserError, match=r"give percent=true"):
        read_source(written(tmp_path, [line.replace(",3.0,3.0,", ",300,3.0,") for line in lines]))


def test_notes_states_and_joined_files(tmp_path: Path) -> None:
    noted = [GRID[0].replace(",x", ",note,status"), *(f"{line.removesuffix('y')}best,Done" for line in GRID[1:])]
    source = read_source(written(tmp_path, [*noted, *noted]))
    assert len(source.runs) == 8 and source.line == "points.csv: 16 rows, 8 dropped as copies of others"
    assert len(read_source(written(tmp_path, [*noted[:4], noted[4].replace("Done", "failed")])).runs) == 4


def test_what_was_guessed_and_left_out_is_said(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes("\n".join(GRID).replace(",m,", ",mod\u00e8le,").encode("latin-1"))
    source = read_source(path)
    assert set(source.runs["model"]) == {"mod\u00e8le"} and source.line.endswith("read as cp1252")
    changed = (("100.0", "inf"), ("0.99", "-inf"), ("0.99", "#N/A"), ("100.0", ""))
    source = read_source(written(tmp_path, [*GRID, *(GRID[1].replace(old, new) for old, new in changed)]))
    assert len(source.runs) == 8
    assert source.line == (
        "points.csv: 12 rows, 4 left out (4 without a finite L0 and loss recovered), 2 values infinite or "
        "beyond 1e+09, read as unknown"
    )


def test_a_column_of_both_units_is_called_that_whatever_percent_says(tmp_path: Path) -> None:
    few = written(tmp_path, [*GRID[:8], GRID[8].replace("0.88", "88")], "few.csv")
    most = written(tmp_path, [*in_percent(lambda value: f"{value:g}")[:8], GRID[8]], "most.csv")
    for path in (few, most):
        for percent in (False, True):
            with pytest.raises(UserError, match="the column mixes fractions and percentages"):
                read_source(path, percent)


def test_numbers_that_no_axis_holds_are_unknown_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = f"{GRID[0]},ce_clean,ce_sae,ce_zero,gamma,alive"
    whole = [f"{line},3,3.1,6,0.9,0.9" for line in GRID[1:]]
    rows = [line.split(",") for line in whole]
    for row, (column, value) in enumerate(((6, "1e300"), (6, "1e-300"), (7, "-1e300"), (10, "1e300"), (12, "1e200"))):
        rows[row][column] = value
    rows[5][5] = "1e300"  # lambda
    rows[6][6], rows[7][7] = "1e9", "-1e9"  # as far as it goes
    path = written(tmp_path, [names, *(",".join(row) for row in rows)])
    assert plot_pareto.main([f"source={path}", f"results_dir={tmp_path / 'results'}"]) == 0
    output = capsys.readouterr()
    assert output.err == "" and "2 left out (2 without a finite L0 and loss recovered), 5 values inf" in output.out


def test_a_long_front_is_drawn_in_time_that_grows_with_its_length(tmp_path: Path) -> None:
    rows = [f"gated,m,mlp_out,1,1024,{1000 / n},{n / 10},{1 - 1 / n:.9f},y" for n in range(2, 6002)]
    source = read_source(written(tmp_path, [GRID[0], *rows])).runs
    front = source.assign(on_frontier=True, arm="gated", point=range(len(source)))
    look = {"gated": style.look("gated")}
    labels = versus_l0._axis_values(Figure().add_subplot(), front, look, "loss_recovered")
    assert len(labels) == 200 and [label.x for label in labels[:2]] == pytest.approx([0.2, 600.1])


@pytest.mark.parametrize("given", ["plain", "sign", "header", "decimal comma"])
def test_percentages_are_divided_where_that_is_asked_for(tmp_path: Path, given: str) -> None:
    lines = in_percent(
        ("{:g} %" if given in {"sign", "decimal comma"} else "{:g}").format, " (%)" * (given == "header")
    )
    found = read_source(written(tmp_path, german(lines) if given == "decimal comma" else lines), percent=True)
    assert found.runs["loss_recovered"].to_list() == pytest.approx([0.99, 0.98, 0.96, 0.9, 0.97, 0.96, 0.94, 0.88])
    with pytest.raises(UserError, match=r"percent=true, but loss_recovered in .* is 0.88 to 0.99: leave"):
        read_source(written(tmp_path, GRID), percent=True)


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    for cell, value in (
        ("1,024.5", 1024.5), ("1 024.5", 1024.5), ("1'024.5", 1024.5), ("1.0E+02", 100), ("+20", 20), ("1,024", 1024),
    ):  # fmt: skip
        lines = [GRID[0], GRID[1].replace("100.0", f'"{cell}"'), *GRID[2:]]
        assert read_source(written(tmp_path, lines)).runs["l0"].iloc[0] == value
    continental = [german(GRID)[0], german(GRID)[1].replace("100,0", "1.024,5"), *german(GRID)[2:]]
    assert read_source(written(tmp_path, continental)).runs["l0"].iloc[0] == 1024.5
    for cell in ("~20", "20+-1", "1_000", "0x10", "1.2.3", "20 tokens", "<5", "1,02,4"):
        lines = [GRID[0], GRID[1].replace("100.0", f'"{cell}"'), *GRID[2:]]
        with pytest.raises(UserError, match=f"line 2: l0={re.escape(cell)} is not a number"):
            read_source(written(tmp_path, lines))


def test_rows_are_points_of_their_own_unless_seeds_tell_them_apart(tmp_path: Path) -> None:
    def count(head: str, rows: list[str]) -> int:
        return len(points(read_source(written(tmp_path, [head, *rows])).runs))

    head, rows = GRID[0], GRID[1:]
    bare = [",".join(line.split(",")[:5] + line.split(",")[6:]) for line in GRID]
    assert count(bare[0], bare[1:]) == 8
    for axis in ("k", "target_l0", "Target L0", "sparsity"):
        assert count(head.replace("sparsity_coefficient", axis), rows) == 8
        assert axes_of(read_source(tmp_path / "points.csv").runs) == [axis.lower().replace(" ", "_")]
    assert count(head + ",seed", [f"{row},{seed}" for row in rows for seed in (0, 1, 2)]) == 8
    assert count(head + ",seed", [f"{row},{seed}" for row in [*rows, *rows] for seed in (0, 1, 2)]) == 8  # copies
    assert count(bare[0] + ",seed", [f"{bare[1]},{seed}" for seed in (0, 1)]) == 1


def test_one_seed_gives_one_point(tmp_path: Path) -> None:
    seeded = [f"{GRID[0]},seed", *(f"{row},{seed}" for row in GRID[1:] for seed in (0, 1))]
    again = seeded[1].replace("100.0", "101.0")
    with pytest.raises(UserError, match="lines 2 and 18: other numbers for the same settings and seed") as caught:
        read_source(written(tmp_path, [*seeded, again]))
    assert "\n" not in str(caught.value)
    axis = GRID[0].split(",").index("sparsity_coefficient")
    bare = [",".join(cell for place, cell in enumerate(line.split(",")) if place != axis) for line in seeded]
    assert read_source(written(tmp_path, bare)).line.endswith("with different seeds are taken as one point")


def test_settings_of_a_table_are_numbers_and_names_are_not(tmp_path: Path) -> None:
    lines = [f"{GRID[0]},train.steps,train.lr_decay,tokens,model.revision", *(f"{row},100,0.5,,7" for row in GRID[1:])]
    lines.append(f"{GRID[1].replace('100.0', '120.0')},300,0.5,4e3,7")
    runs = read_source(written(tmp_path, lines)).runs
    assert runs["train.steps"].tolist() == [100] * 8 + [300] and runs["train.lr_decay"].tolist() == [0.5] * 9
    assert runs["tokens"].iloc[-1] == 4000 and set(runs["model.revision"]) == {"7"}
    assert plot_pareto.main([f"source={tmp_path / 'points.csv'}", f"results_dir={tmp_path}"]) == 0
    words = (tmp_path / "points" / "summary.md").read_text()
    assert "gated: one front mixes train.steps 100 and 300" in words and "with train.steps=100 alone" in words


def test_names_and_gaps_reach_no_output_as_markup_or_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = "<script>alert(1)</script>"
    lines = [line.replace("mlp_out", bad).replace(",m,", ",[/x] $m$ a|b&c,") for line in GRID]
    path = written(tmp_path, lines, name="my <b>points.csv")
    with patch("pipeline.report.results.draw_figures", return_value=[]):
        assert plot_pareto.main([f"source={path}", f"results_dir={tmp_path}"]) == 0
    folder = tmp_path / "my <b>points"
    page, summary = ((folder / name).read_text() for name in ("report.html", "summary.md"))
    assert bad not in page + summary and "&lt;script&gt;" in page and "&lt;script&gt;" in summary
    assert "baseline / gated (1024 / 1024)" in summary and "| equal_width |" in summary
    assert len(pd.read_csv(folder / "frontier.csv")) == 8
    words = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)
    for text in (capsys.readouterr().out, summary, words, *(table.read_text() for table in folder.glob("*.csv"))):
        assert not re.search(r"\bnan\b|nan%|<NA>", text)
