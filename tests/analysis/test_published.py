"""Points from a table: names, damaged rows, mistakes in one line; and what the paper's own points come to."""

from pathlib import Path

import pandas as pd
import pytest

from docs.generate.paper_ratios import document
from pipeline import plot_pareto
from pipeline.analysis.external_points import read_source
from pipeline.errors import UserError
from pipeline.evaluation.metrics import loss_recovered
from pipeline.storage.places import BASE, PAPER_TABLE

HEADER = "arch,model,site,layer,lam,l0,loss_recovered,width,alive,gamma,note"
ROWS = (
    "baseline,m,mlp,3,1e-3,40,0.9,1536,0.99,0.9,", "baseline,m,mlp,3,2e-3,20,0.8,1536,0.99,0.85,",
    "gated,m,mlp,3,1,20,0.9,1024,0.98,1.0,", "gated,m,mlp,3,2,10,0.8,1024,0.98,1.0,realigned",
    "gated,m,mlp,3,3,5,0.95,1024,0.98,1.0,row_alignment_ambiguous", "gated,m,mlp,3,4,-5,0.95,1024,0.98,1.0,",
)  # fmt: skip


def written(folder: Path, *lines: str, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_both_sets_of_names_are_one_table(tmp_path: Path) -> None:
    theirs = read_source(written(tmp_path, HEADER, *ROWS[:4]))
    ours = HEADER.replace("arch", "architecture").replace("lam", "sparsity_coefficient").replace("width", "d_sae")
    ours = ours.replace("alive", "alive_fraction")
    rows = [row.replace(",mlp,", ",mlp_out,") for row in ROWS[:4]]
    pd.testing.assert_frame_equal(theirs.runs, read_source(written(tmp_path, ours, *rows)).runs)
    first = theirs.runs.iloc[0]
    assert (first["site"], first["d_sae"], first["sparsity_coefficient"]) == ("mlp_out", 1536, 1e-3)
    assert (first["run"], first["sweep"], first["status"]) == ("points-line-2", "points", "done")
    assert first["dead_fraction"] == pytest.approx(0.01) and pd.isna(first["seed"])


def test_damaged_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    source = read_source(written(tmp_path, HEADER, *ROWS))
    assert len(source.runs) == 4 and (source.runs["l0"] > 0).all()
    assert source.line == (
        "points.csv: 6 rows, 2 left out (1 negative L0, 1 row_alignment_ambiguous), 1 kept as repaired (1 realigned)"
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["arch,model,site,layer,l0,loss_recovered", "a,m,s,1,2,3"], "no column d_sae or width"),
        ([HEADER + ",d_sae", ROWS[0] + ",5"], "two columns for d_sae"),
        ([HEADER, ROWS[0], ROWS[1].replace("20", "twenty")], "line 3: l0=twenty is not a number"),
        ([HEADER, ROWS[0].replace(",3,", ",3.5,")], "line 2: layer=3.5 is not a whole number"),
        ([HEADER, ROWS[0] + ',1,2,"'], "is not a CSV"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, lines: list[str], expected: str) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        read_source(written(tmp_path, *lines))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot_pareto.main([f"source={tmp_path / 'no.csv'}"]) == 2
    assert plot_pareto.main(["source=a.csv", "sweep=b"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "is not there" in first and "exclude each other" in second


@pytest.mark.slow
def test_the_command_writes_results_named_by_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, HEADER, *ROWS)
    family = written(tmp_path, "compute,loss", "1e18,4", "1e20,2", name="family.csv")
    assert plot_pareto.main([f"source={path}", f"results_dir={tmp_path}", f"family={family}"]) == 0
    out = capsys.readouterr().out
    assert "6 rows, 2 left out" in out and "(1536 / 1024), width_1.5: L0 ratio 2.00; not judged: no interval" in out
    ratios = pd.read_csv(tmp_path / "points" / "l0_ratio.csv")
    assert ratios.loc[ratios["ablation"] == "zero", "ratio_median"].to_list() == pytest.approx([2, 2, 2])
    assert ratios[["ratio_low", "ratio_high"]].isna().all(None)
    assert set(ratios["comparison"]) == {"width_1.5"} and (tmp_path / "points" / "figure_1.png").is_file()
    assert len(pd.read_csv(tmp_path / "points" / "compute_hit.csv")) == 4
    assert plot_pareto.main([f"source={path}", f"results_dir={tmp_path}"]) == 0
    assert not (tmp_path / "points" / "compute_hit.csv").exists()  # what was not asked for again is of other runs
    again = tmp_path / "points" / "runs.csv"
    assert plot_pareto.main([f"source={again}", f"results_dir={tmp_path}"]) == 0  # what we wrote is a source too
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "runs" / "l0_ratio.csv").drop(columns=["evaluation.id", "data.name"]),
        ratios.drop(columns=["evaluation.id", "data.name"]),
    )


def test_the_papers_rows_agree_with_equation_5() -> None:
    runs = read_source(PAPER_TABLE).runs
    assert len(runs) == 277
    for row in runs.itertuples():
        expected = loss_recovered(row.ce_clean, row.ce_sae, row.ce_zero)
        rounding = 2e-4 / (row.ce_zero - row.ce_clean) + 1e-4
        assert row.loss_recovered == pytest.approx(expected, abs=rounding)


def test_the_document_on_the_papers_ratios_is_what_the_code_says() -> None:
    text = document()
    assert (BASE / "docs" / "paper_l0_ratios.md").read_text() == text + "\n"
    rows = [line for line in text.splitlines() if line.startswith(("| gemma", "| pythia"))]
    assert len(rows) == 29 and sum("do not overlap" in row for row in rows) == 7
    left_out = "In 6 of them all of gated's points recover more than any of the baseline's."
    assert left_out in text and "better along all that the two fronts share in 24 of 29 pairs, worse in 2" in text
