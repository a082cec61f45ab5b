"""What each figure shows, when it is drawn at all, and that its CSV is enough to draw it again."""

from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import Collection

from pipeline.analysis.external_points import paper_points
from pipeline.analysis.table import table
from pipeline.comparison.claims import ABOUT_HALF, HEALTHY, SHRUNK, UNBIASED
from pipeline.figures import (
    figure_1,
    figure_6,
    figure_8,
    figure_9,
    figure_density,
    figure_diagnostics,
    figure_l0_ratio,
    figure_training,
)
from pipeline.figures.draw_all import draw_figures
from pipeline.figures.find import figures
from pipeline.figures.inputs import figure_inputs
from pipeline.figures.marker_ids import read_gid, rows_gid
from pipeline.figures.sample import LAMBDAS, PANELS, sample, spread
from tests.figures.synthetic import TOKENS, leave, of, row

GRID = [
    row(arm, lam, site=site) for site in ("mlp_out", "attn_z") for arm in ("gated", "baseline") for lam in (1, 2, 4)
]


def test_figures_are_found_by_their_files_those_of_the_paper_first() -> None:
    files = {path.stem for path in Path(figure_1.__file__).parent.glob("figure_*.py")}
    assert set(figures()) == files
    assert [*figures()][:4] == ["figure_1", "figure_6", "figure_8", "figure_9"]


@pytest.mark.slow
@pytest.mark.parametrize("name", figures())
def test_the_data_beside_a_figure_draws_it(name: str, tmp_path: Path) -> None:
    rows = [*GRID, *(row(arm, lam) for arm in ("gated_untied", "baseline_rescale_shift") for lam in (1, 2))]
    for one in rows:
        leave(tmp_path, one)
    source = of(rows, tmp_path, thresholds=(0.1, 0.4))
    points = figures()[name].data(source)
    again = pd.read_csv(StringIO(points.to_csv(index=False)))
    first, second = (figures()[name].draw(data, source.looks) for data in (points, again))
    assert len(first.axes) == len(second.axes) > 0
    for one, other in zip(first.axes, second.axes, strict=True):
        assert (one.get_title(), one.get_ylim()) == (other.get_title(), pytest.approx(other.get_ylim()))
        assert len(one.lines) == len(other.lines)


@pytest.mark.slow
def test_a_sweep_has_the_figures_that_it_feeds_and_no_stale_ones(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "figure_8.png").write_text("of an earlier sweep")
    drawn = draw_figures(of(GRID), results)
    names = [f"figure_{name}" for name in ("1", "6", "diagnostics", "l0_ratio")]
    assert [figure.name for figure in drawn] == names
    assert [[path.name for path in figure.files] for figure in drawn] == [
        [f"{name}.{kind}" for kind in ("png", "svg", "pdf")] for name in names
    ]
    assert sorted(path.name for path in results.iterdir()) == sorted(
        f"{name}.{kind}" for name in names for kind in ("csv", "pdf", "png", "svg")
    )
    assert draw_figures(of([]), results) == [] == [*results.iterdir()]


def test_an_arm_looks_the_same_in_a_figure_of_some_arms() -> None:
    rows = [row("gated", 1, expansion=wide) for wide in (4, 8)]
    whole, waiting = of([*rows, row("topk")]), [row("gated", 1, status="waiting", l0=np.nan, expansion=2)]
    assert [*whole.looks] == ["gated (4 x d_in)", "gated (8 x d_in)", "topk (4 x d_in)"]
    early = of([*rows, *waiting])  # what is declared counts, so that nothing changes colour while a sweep fills
    late = of([*rows, row("gated", 1, expansion=2)])
    assert early.looks == late.looks != whole.looks


def test_arms_without_an_expansion_are_named_by_width() -> None:
    assert [*of([row(expansion=1, **{"architecture.expansion": np.nan}, d_sae=131072)]).looks] == [
        "gated (131,072 wide)"
    ]
    runs = table([{"run": "r", "architecture": "gated", "status": "missing"}])
    assert [*figure_inputs(runs).looks] == ["gated"]


# ------------------------------------------------------------------------------------------------------- against L0


def test_figures_show_every_finished_run_and_clip_nothing() -> None:
    source = of([
        row(lam=1, l0=100, loss_recovered=1.3, gamma=2.5, run="dense"),
        row(lam=2, l0=0.2, loss_recovered=-0.1, gamma=0.5, run="sparse"),
        row(lam=3, l0=100, loss_recovered=0.5, run="dominated"),
        row(lam=4, l0=0, loss_recovered=0.0, gamma=np.nan, run="empty"),
        row(lam=5, l0=np.nan, loss_recovered=np.nan, run="broken"), row(lam=6, l0=np.nan, status="missing", run="none"),
    ])  # fmt: skip
    for figure in (figure_1, figure_6, figure_diagnostics):
        points = figure.data(source)
        assert set(points["run"]) == {"dense", "sparse", "dominated", "empty"}
        assert points.set_index("run")["on_frontier"].to_dict() == {
            "dense": True, "sparse": True, "dominated": False, "empty": False,
        }  # fmt: skip
        axes = figure.draw(points, source.looks).axes[0]
        drawn = [tuple(point) for line in axes.lines for point in line.get_xydata() if line.get_marker() == "o"]
        assert sorted(x for x, _ in drawn) == [0.2, 100, 100]
        low, high = axes.get_ylim()
        assert all(low < y < high for _, y in drawn)
        assert axes.get_xscale() == "log" and axes.get_title() == "mlp_out, layer 2\ntoy\n1 run with L0 = 0 not shown"


def test_one_panel_a_site_and_layer_with_all_arms() -> None:
    source = of(GRID)
    titles = [axes.get_title() for axes in figure_1.draw(figure_1.data(source), source.looks).axes]
    assert titles == ["attn_z, layer 2\ntoy", "mlp_out, layer 2\ntoy"]
    figure = figure_6.draw(figure_6.data(source), source.looks)
    assert len(figure.axes) == 4 and figure.axes[1].get_ylabel() == "Alive fraction"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "baseline (6 x d_in)", "gated (4 x d_in)", "numbers at points, where there is room: lambda",
        "claims: gamma 1 \N{PLUS-MINUS SIGN} 0.02 (grey), 0.97", "claims: 0.9 alive",
    ]  # fmt: skip


def ends_of(bars: Iterable[Collection]) -> set[tuple[float, float]]:
    """Low and high of every interval that is drawn."""
    heights = [path.vertices[:, 1].reshape(-1, 2) for each in bars for path in each.get_paths()]
    return {(float(low), float(high)) for low, high in np.concatenate(heights)}


def test_intervals_are_bars_where_there_are_any() -> None:
    source = of(GRID)
    figure = figure_1.draw(figure_1.data(source), source.looks)
    bars = [collection for axes in figure.axes for collection in axes.collections]
    assert ends_of(bars) == {(one["loss_recovered_low"], one["loss_recovered_high"]) for one in GRID}
    assert "95 % interval over documents" in [text.get_text() for text in figure.legends[0].get_texts()]
    without = of([one | {"loss_recovered_low": np.nan, "loss_recovered_high": np.nan} for one in GRID])
    figure = figure_1.draw(figure_1.data(without), without.looks)
    assert not any(axes.collections for axes in figure.axes)
    assert "95 % interval over documents" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_heading_says_what_the_points_rest_on() -> None:
    rows = [one | {"evaluation_tokens": 102000, "seed": seed, "run": f"{one['run']}-{seed}"}
            for one in GRID for seed in (0, 1, 2)]  # fmt: skip
    died = row(lam=9, l0=0.0, evaluation_tokens=102000)  # has no place on the axis
    source = of([*rows, died])
    said = " ".join(figure_1.draw(figure_1.data(source), source.looks)._suptitle.get_text().split())
    words = "by zero ablation, 3 seeds (a marker each, lines join their means), 102,000 held-out tokens"
    assert f"{words}, bars: 95 % over held-out documents" in said
    alone = figure_6.draw(figure_6.data(of(GRID)), of(GRID).looks)._suptitle.get_text()
    assert alone == "busy: toy@1\n1 seed"


def test_a_panel_whose_loss_recovered_is_refused_is_named_and_not_drawn() -> None:
    blank = dict.fromkeys(("loss_recovered", "loss_recovered_low", "loss_recovered_high"), np.nan)
    rows = [one | (blank if one["site"] == "attn_z" else {}) for one in GRID]
    source = of(rows)
    points = figure_1.data(source)
    assert set(points["site"]) == {"attn_z", "mlp_out"}
    figure = figure_1.draw(points, source.looks)
    assert [axes.get_title() for axes in figure.axes] == ["mlp_out, layer 2\ntoy"]
    said = " ".join(figure._suptitle.get_text().split())
    assert "refused, because ablating the site costs almost nothing: attn_z, layer 2 (cross-entropies:" in said
    assert len(figure_1.data(of([one | blank for one in GRID]))) == 0
    stands_instead = figure_diagnostics.draw(figure_diagnostics.data(source), source.looks)
    assert [axes.get_title() for axes in stands_instead.axes][::3] == ["attn_z, layer 2\ntoy", "mlp_out, layer 2\ntoy"]


def test_alive_says_at_which_frequency() -> None:
    source = of([one | {"eval.alive_frequency": 1e-4, "gamma_low": 0.9, "gamma_high": 1.0} for one in GRID])
    points = figure_6.data(source)
    assert {"gamma_low", "gamma_high"} <= set(points)
    gamma, alive = figure_6.draw(points, source.looks).axes[:2]
    assert " ".join(alive.get_ylabel().split()) == "Alive fraction (on 0.0001 of tokens)"
    assert ends_of(gamma.collections) == {(0.9, 1.0)}


def test_a_front_is_a_line_through_means_over_seeds() -> None:
    source = of([row(lam=lam, seed=seed, l0=l0, loss_recovered=0.9 - lam / 10)
                 for lam, seed, l0 in ((1, 0, 40), (1, 1, 90), (2, 0, 50), (2, 1, 8))])  # fmt: skip
    axes = figure_1.draw(figure_1.data(source), source.looks).axes[0]
    (line,) = [line for line in axes.lines if line.get_linestyle() != "None" and line.get_marker() == "None"][:1]
    assert line.get_xdata() == pytest.approx([20, 60]) and line.get_ydata() == pytest.approx([0.7, 0.8])


def test_an_interval_does_not_squash_the_points() -> None:
    rows = [
        row(lam=lam, loss_recovered=0.9 + lam / 100, loss_recovered_low=-50.0, loss_recovered_high=1.0)
        for lam in (1, 2)
    ]
    source = of(rows)
    low, high = figure_1.draw(figure_1.data(source), source.looks).axes[0].get_ylim()
    assert low < 0.91 and high - low < 4 * 0.01


def test_delta_ce_is_logarithmic_unless_splicing_helps() -> None:
    for ce_sae, scale in ((3.2, "log"), (2.9, "linear")):
        source = of([row(lam=1, ce_sae=ce_sae), row(lam=2)])
        figure = figure_diagnostics.draw(figure_diagnostics.data(source), source.looks)
        assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", scale]


def test_lines_and_bands_lie_at_the_limits_of_the_claims() -> None:
    source = of(GRID)
    gamma, alive = figure_6.draw(figure_6.data(source), source.looks).axes[:2]
    levels = [
        {line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1} for axes in (gamma, alive)
    ]
    assert {1.0, SHRUNK} <= levels[0] and HEALTHY in levels[1]
    (band,) = gamma.patches
    assert band.get_y() == pytest.approx(1 - UNBIASED) and band.get_height() == pytest.approx(2 * UNBIASED)
    ratio = figure_l0_ratio.draw(figure_l0_ratio.data(source), source.looks).axes[0]
    assert (ratio.patches[0].get_y(), ratio.patches[0].get_y() + ratio.patches[0].get_height()) == ABOUT_HALF
    assert ratio.get_ylim()[0] < 1 and ratio.get_ylim()[1] > ABOUT_HALF[1]


def test_the_claims_limits_are_drawn_where_the_claim_is_judged() -> None:
    dying = [one | ({"alive_fraction": 0.85} if one["site"] == "attn_z" else {}) for one in GRID]
    source = of([*dying, *(row("topk", lam, site="mlp_post") for lam in (1, 2, 4)),
                 *(row("baseline", lam, site="mlp_post") for lam in (1, 2, 4))])  # fmt: skip
    points = figure_l0_ratio.data(source)
    assert points.groupby("site")["about_half_judged"].all().to_dict() == {
        "attn_z": False, "mlp_out": True, "mlp_post": False,
    }  # fmt: skip
    figure = figure_l0_ratio.draw(points, source.looks)
    banded = {axes.get_title().split(",")[0]: len(axes.patches) for axes in figure.axes}
    assert banded == {"attn_z": 0, "mlp_out": 1, "mlp_post": 0}
    unjudged = points[points["site"] == "attn_z"]
    (legend,) = figure_l0_ratio.draw(unjudged, source.looks).legends
    assert not any("half" in text.get_text() for text in legend.get_texts())


def test_points_of_the_fronts_are_labelled_with_what_they_were_trained_with() -> None:
    figure = figure_1.draw(figure_1.data(of(GRID)), of(GRID).looks)
    for axes in figure.axes:
        assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "2", "2", "4", "4"]
    by_k = of([row(lam=lam, k=int(8 * lam)) | {"sparsity_coefficient": None} for lam in (1, 2, 4)])
    figure = figure_1.draw(figure_1.data(by_k), by_k.looks)
    assert {text.get_text() for text in figure.axes[0].texts} == {"8", "16", "32"}
    assert "numbers at points, where there is room: k" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_panels_share_their_y_range_or_the_heading_says_that_they_do_not() -> None:
    source = of(GRID)
    figure = figure_1.draw(figure_1.data(source), source.looks)
    first, second = (axes.get_ylim() for axes in figure.axes)
    assert first == second and "differs" not in figure._suptitle.get_text()
    narrow = {"site": "attn_z", "loss_recovered_low": np.nan, "loss_recovered_high": np.nan}
    rows = [one for one in GRID if one["site"] == "mlp_out"]
    source = of([*rows, *(row(lam=lam, loss_recovered=0.999 - lam / 1e4, **narrow) for lam in (1, 2))])
    figure = figure_1.draw(figure_1.data(source), source.looks)
    first, second = (axes.get_ylim() for axes in figure.axes)
    assert first[1] - first[0] < 0.01 < second[1] - second[0]
    assert "the y range differs between panels: loss recovered" in figure._suptitle.get_text()


@pytest.mark.slow
def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = ("$\\frac{", "_hidden", "<b>a|b&c</b>", "[/x]", "a--\x01\ufffe>")
    source = of([row(name, lam, model="$m$@1") for name in names for lam in (1, 2)])
    draw_figures(source, tmp_path)
    legend = figure_1.draw(figure_1.data(source), source.looks).legends[0].get_texts()
    assert {f"{name} (4 x d_in)" for name in names} <= {text.get_text().strip() for text in legend}
    assert (tmp_path / "figure_1.png").is_file()
    ElementTree.parse(tmp_path / "figure_1.svg")  # which is XML, whatever the names hold


def test_a_measure_that_no_run_has_is_left_out() -> None:
    source = of([row(lam=lam, dead_fraction=np.nan, alive_fraction=np.nan) for lam in (1, 2)])
    assert len(figure_diagnostics.draw(figure_diagnostics.data(source), source.looks).axes) == 2


def test_groups_of_points_are_named_by_the_rows_of_the_csv(tmp_path: Path) -> None:
    """The SVG's markers, in the order in which they stand there, are those of the rows that their group names."""
    refused = dict.fromkeys(("loss_recovered", "loss_recovered_low", "loss_recovered_high"), np.nan)
    rows = [*GRID, row(lam=9, l0=0.0), row(lam=8, l0=3.0, gamma=np.nan), row(lam=7, l0=90.0, loss_recovered=0.2),
            *(row(lam=lam, site="a", **refused) for lam in (1, 2))]  # fmt: skip
    for drawn in draw_figures(of(rows), tmp_path)[:2]:
        points = pd.read_csv(tmp_path / f"{drawn.name}.csv")
        svg = ElementTree.parse(tmp_path / f"{drawn.name}.svg").getroot()
        seen = set()
        for group in svg.iter("{http://www.w3.org/2000/svg}g"):
            found = read_gid(group.get("id", ""))
            if found is None:
                continue
            column, numbers = found
            markers = [float(use.get("x", "nan")) for use in group.iter("{http://www.w3.org/2000/svg}use")]
            places = np.polyfit(np.log(points.loc[numbers, "l0"]), markers, 1) if len(numbers) > 2 else None
            assert len(markers) == len(numbers)
            if places is not None:
                assert np.polyval(places, np.log(points.loc[numbers, "l0"])) == pytest.approx(markers, abs=1e-3)
            seen |= {(column, number) for number in numbers}
        columns = ["loss_recovered"] if drawn.name == "figure_1" else ["gamma", "alive_fraction"]
        visible = points["l0"] > 0
        assert seen == {(name, at) for name in columns for at in points.index[visible & points[name].notna()]}


def test_a_group_id_is_read_back() -> None:
    assert read_gid(rows_gid("gamma", [3, 1, 12]) or "") == ("gamma", [3, 1, 12])
    assert read_gid(rows_gid("train.lr", [0]) or "") == ("train.lr", [0])
    assert rows_gid("gamma", []) is None and read_gid("points.gamma") is None and read_gid("axes_1") is None


# --------------------------------------------------------------------------------------------------------- variants


def test_variants_of_gated_are_read_against_its_front() -> None:
    gated = [row("gated", 1, l0=10, loss_recovered=0.8), row("gated", 2, l0=40, loss_recovered=0.9)]
    variant = [row("gated_untied", 1, l0=20, loss_recovered=0.84), row("gated_untied", 2, l0=50, loss_recovered=0.9)]
    wide = row("gated_untied", 3, l0=20, expansion=8)
    other = [row("gated_untied", 1, site="attn_z"), row("gated", 1, site="mlp_post"), row("topk", 1)]
    points = figure_8.data(of([*gated, *variant, wide, *other])).set_index("run")
    assert set(points["site"]) == {"mlp_out"} and set(points["architecture"]) == {"gated", "gated_untied"}
    above = points["above_gated"]
    assert above[[one["run"] for one in gated]].to_list() == pytest.approx([0, 0])
    assert above[variant[0]["run"]] == pytest.approx(0.84 - 0.85)  # half way in log L0
    assert np.isnan(above[variant[1]["run"]]) and np.isnan(above[wide["run"]])  # beyond the front, and no such width
    assert len(figure_8.data(of(GRID))) == 0


def test_variants_of_the_baseline_stand_beside_both_arms() -> None:
    points = figure_9.data(of([*GRID, row("baseline_rescale_shift", 1), row("gated_untied", 1)]))
    assert set(points["site"]) == {"mlp_out"}
    assert set(points["architecture"]) == {"baseline", "baseline_rescale_shift", "gated"}
    assert len(figure_9.data(of(GRID))) == 0


# ------------------------------------------------------------------------------------------------------------ ratio


def test_the_ratio_of_a_pair_is_drawn_once_under_the_first_of_its_names() -> None:
    alike = {"training_seconds": 10.0, "execution.device": "cpu", "execution.threads": 2}
    source = of([row(arm, lam, expansion=4, **alike) for arm in ("gated", "baseline") for lam in (1, 2, 4)])
    assert set(source.curve["comparison"]) == {"equal_width", "equal_seconds"}
    points = figure_l0_ratio.data(source)
    assert set(points["comparison"]) == {"equal_width"} and set(points["names"]) == {"equal_width equal_seconds"}
    assert set(points["ablation"]) == {"zero"}
    axes = figure_l0_ratio.draw(points, source.looks).axes[0]
    assert [set(np.asarray(line.get_ydata()).round(6)) for line in axes.lines] == [
        {2.0}, {1.0}, {1.67}, {2.5},
    ]  # fmt: skip
    assert axes.get_ylim()[0] < 1 and not any(
        len(path.vertices) for band in axes.collections for path in band.get_paths()
    )


def test_candidates_differ_in_colour_and_a_refused_panel_has_an_axis_of_its_own() -> None:
    source = of([*GRID, *(row("topk", lam) for lam in (1, 2, 4))])
    points = figure_l0_ratio.data(source)
    points = points.assign(fidelity=np.where(points["site"] == "attn_z", "delta_ce", "loss_recovered"))
    figure = figure_l0_ratio.draw(points, source.looks)
    first, second = figure.axes
    assert tuple(" ".join(axes.get_xlabel().split()) for axes in (first, second)) == (
        "Cross-entropy added (nats per prediction)",
        "Loss recovered, by zero ablation (fraction)",
    )
    gated, topk = (next(look.colour for label, look in source.looks.items() if name in label)
                   for name in ("gated", "topk"))  # fmt: skip
    assert [line.get_color() for line in second.lines[:2]] == [gated, topk]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:2] == ["candidate: gated", "candidate: topk"]


def test_the_band_is_as_wide_as_the_interval() -> None:
    source = of(GRID)
    points = figure_l0_ratio.data(source).assign(ratio_low=1.5, ratio_high=3.0, noise="sequences")
    figure = figure_l0_ratio.draw(points, source.looks)
    heights = {y for path in figure.axes[0].collections[0].get_paths() for y in path.vertices[:, 1]}
    assert heights == {1.5, 3.0}
    assert figure.legends[0].get_texts()[-2].get_text() == ("95 % band, simultaneous along the line, over documents")


# ------------------------------------------------------------------------------------------- histories and densities


def test_training_curves_are_those_of_the_histories(tmp_path: Path) -> None:
    for one in GRID:
        leave(tmp_path, one)
    points = figure_training.data(of(GRID, tmp_path))
    assert set(points["run"]) == {one["run"] for one in GRID} and len(points) == 100 * len(GRID)
    run = GRID[0]["run"]
    history = pd.read_csv(tmp_path / "runs" / run / "history.csv")
    here = points[points["run"] == run]
    for name in ("step", "l0", "loss", "reconstruction", "auxiliary"):
        assert here[name].to_numpy() == pytest.approx(history[name].to_numpy(), rel=1e-5)
    assert here["penalty"].to_numpy() == pytest.approx(
        (history["sparsity_coefficient"] * history["sparsity"]).to_numpy(), rel=1e-5
    )
    figure = figure_training.draw(points, of(GRID).looks)
    assert [axes.get_title().partition("\n")[0] for axes in figure.axes[:5]] == [*figure_training.CURVES.values()]
    assert len(figure.axes) == 10 and all(axes.get_yscale() == "log" for axes in figure.axes)


def test_training_that_rises_and_is_won_in_the_last_fifth_is_said(tmp_path: Path) -> None:
    for one in GRID:
        path = leave(tmp_path, one) / "history.csv"
        history = pd.read_csv(path)
        place = history["step"] / history["step"].max()
        rising = one["architecture"] == "gated"
        history["loss"] = np.where(place <= 0.8, 10 + (4 * place if rising else 0), 8.0)
        history.to_csv(path, index=False)
    points = figure_training.data(of(GRID, tmp_path))
    first, second = figure_training.last_fifth(points).split("\n")
    assert first.endswith("rises over 2% in 6 of 12 runs")
    # the loss: between 8/10 - 1 and 8/12.8 - 1; L0: as `leave` writes it, (1 + 100/4920) over (1 + 100/3520)
    assert second == "in the last fifth: loss -28.8%, L0 -0.8% (medians over runs)"
    figure = figure_training.draw(points, of(GRID).looks)
    assert second in figure._suptitle.get_text()
    assert all(axes.patches[0].get_x() == pytest.approx(4000) for axes in figure.axes)


def test_a_history_or_sums_that_cannot_be_read_stop_nothing(tmp_path: Path) -> None:
    folders = [leave(tmp_path, one) for one in GRID]
    (folders[0] / "history.csv").unlink()
    (folders[1] / "history.csv").write_text("")
    (folders[2] / "history.csv").write_text("step,loss\n1,2\n")
    (folders[3] / "sequences.safetensors").write_bytes(b"half")
    (folders[4] / "sequences.safetensors").unlink()
    source = of(GRID, tmp_path)
    assert figure_training.data(source)["run"].nunique() == len(GRID) - 3
    assert figure_density.data(source)["run"].nunique() == len(GRID) - 2
    assert len(figure_training.data(of(GRID))) == len(figure_density.data(of(GRID))) == 0


def test_densities_count_every_feature_once(tmp_path: Path) -> None:
    one = row("gated", expansion=64)
    leave(tmp_path, one, dead=100)
    points = figure_density.data(of([one], tmp_path))
    assert points["features"].sum() == one["d_sae"] == 512
    dead = points[points["log10_low"].isna()]
    assert dead["features"].to_list() == [100]
    assert 0 <= points["log10_high"].max() < 0.25
    assert 10 ** points["log10_low"].min() == pytest.approx(1 / TOKENS)
    figure = figure_density.draw(points, of([one]).looks)
    assert [text.get_text() for text in figure.axes[0].texts] == ["never fired: 19.5%"]
    assert not figure.legends and "of seed 0" in figure._suptitle.get_text()


def test_densities_show_from_where_on_a_feature_is_alive(tmp_path: Path) -> None:
    rows = [row(arm, lam, seed=3, **{"eval.alive_frequency": 1e-3}) for arm in ("gated", "baseline") for lam in (1, 2)]
    for one in rows:
        leave(tmp_path, one)
    source = of([*rows, row("gated", 1, seed=4)], tmp_path)
    points = figure_density.data(source)
    assert set(points["seed"]) == {3} and set(points["alive_frequency"]) == {1e-3}
    figure = figure_density.draw(points, source.looks)
    for axes in figure.axes:
        (line,) = axes.lines
        assert list(line.get_xdata()) == [pytest.approx(-3)] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["alive: fires on at least 0.001 of tokens"]
    assert "of seed 3" in " ".join(figure._suptitle.get_text().split())


@pytest.mark.parametrize("name", figures())
def test_every_axis_says_what_it_measures_with_its_unit(name: str, tmp_path: Path) -> None:
    """By its label, or that of the axes at the left of its row, or below or above it."""
    rows = [*GRID, *(row(arm, lam, site=site) for site in ("mlp_out", "attn_z") for lam in (1, 2)
                     for arm in ("gated_untied", "baseline_rescale_shift"))]  # fmt: skip
    for one in rows:
        leave(tmp_path, one)
    source = of(rows, tmp_path, thresholds=(0.1,))
    figure = figures()[name].draw(figures()[name].data(source), source.looks)
    by_row, by_column = {}, {}
    for axes in figure.axes:
        place = axes.get_subplotspec()
        by_row.setdefault(place.rowspan.start, []).append(axes.get_ylabel())
        by_column.setdefault(place.colspan.start, []).append((axes.get_xlabel(), axes.get_title()))
    in_title = name == "figure_training"  # whose columns are measures
    for labels in by_row.values():
        assert in_title or any("(" in label or "fraction" in label or "ratio" in label for label in labels)
    for labels in by_column.values():
        assert any("(" in label for label, _ in labels)
        assert not in_title or any(title.endswith("per token)") for _, title in labels)


def test_a_large_sweep_is_sampled_evenly() -> None:
    rows = [row(arm, lam, layer=layer, seed=seed) for layer in range(20) for arm in ("gated", "baseline")
            for lam in range(1, 12) for seed in (0, 1)]  # fmt: skip
    chosen = sample(of(rows))
    assert len(chosen) == PANELS * 2 * LAMBDAS and set(chosen["seed"]) == {0}
    assert sorted(chosen["layer"].unique()) == [0, 4, 8, 11, 15, 19]
    assert chosen.groupby(["panel", "arm"])["shade"].agg(["min", "max"]).eq([0, 1]).all(None)
    assert (
        spread(3, 5) == [0, 1, 2] and spread(11, 5) == [0, 2, 5, 8, 10] and spread(1, 5) == [0] and spread(0, 5) == []
    )


def test_the_papers_points_stand_beside_ours_where_model_site_and_layer_match() -> None:
    where = {"site": "resid_post", "layer": 20, "model": "google/gemma-7b@0123456789ab"}
    rows = [row(arm, lam, **where) for arm in ("gated", "baseline") for lam in (1, 2)]
    runs = table([*rows, row(site="resid_post", layer=20), row(**where | {"layer": 19})])
    source = figure_inputs(runs, published=paper_points(runs))
    for name in ("figure_1", "figure_6"):
        points = figures()[name].data(source)
        theirs = points[points["architecture"].str.endswith(", paper")]
        assert theirs.groupby("architecture").size().to_dict() == {"baseline, paper": 11, "gated, paper": 10}
        assert set(theirs["layer"]) == {20} and set(theirs["model"]) == {where["model"]}
        assert not points[points["architecture"] == "gated"].merge(theirs, on="run").size
        figure = figures()[name].draw(points, source.looks)
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert {"gated (4 x d_in)", "gated, paper (131,072 wide)", "baseline, paper (196,608 wide)"} <= set(labels)
    assert paper_points(table([row()])).empty
