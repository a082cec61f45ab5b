"""The paper's grids: the committed sweeps are what the tables give, and the files of conf/ that they name are sound."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from docs.generate.paper_grids import FIGURES, Row, lambda_ratios, read_rows, sweep_yaml
from pipeline.cli.validate import check
from pipeline.config.checked import checked
from pipeline.config.schema import (
    DataConfig,
    EvalConfig,
    ModelConfig,
    ResampleConfig,
    RunConfig,
    SiteConfig,
    TrainConfig,
)
from pipeline.errors import UserError
from pipeline.language_model.sites import d_in, d_sae
from pipeline.sae.registry import config_class
from pipeline.storage.places import CONF, PAPER_TABLE


def typed(node: DictConfig, schema: type, section: str):
    return checked(OmegaConf.to_container(node, resolve=True), schema, section)


def load(group: str, name: str):
    return OmegaConf.load(CONF / group / f"{name}.yaml")


@pytest.mark.parametrize("name", FIGURES)
def test_committed_sweep_is_what_the_script_prints(name: str):
    assert (CONF / "sweep" / f"{name}.yaml").read_text() == sweep_yaml(name)


@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_models_fit_the_schema(path: Path):
    node = OmegaConf.load(path)
    if OmegaConf.is_missing(node, "path"):
        node.path = "somewhere"
    model = typed(node, ModelConfig, "model")
    assert model.name == path.stem
    if model.hub_id is not None:  # no file to read a shape from before anything is submitted
        assert model.shape is not None and 0 <= model.layer < model.shape.n_layers
        assert model.revision is not None


@pytest.mark.parametrize("path", sorted((CONF / "data").glob("*.yaml")), ids=lambda path: path.stem)
def test_data_fits_the_schema(path: Path):
    node = OmegaConf.load(path)
    if OmegaConf.is_missing(node, "path"):
        node.path = "somewhere"
    data = typed(node, DataConfig, "data")
    assert (data.source == "hub") == (data.dataset is not None)


def test_the_papers_settings_are_stated_in_full_and_in_the_order_of_the_schema():
    paper = load("train", "paper")
    assert list(paper) == [field.name for field in fields(TrainConfig)]
    assert list(paper.resample) == [field.name for field in fields(ResampleConfig)]
    settings = typed(paper, TrainConfig, "train")
    assert settings.resample.window <= min(settings.resample.steps)


def runs_of(name: str) -> list[RunConfig]:
    """Every run that a sweep declares, put together as Hydra would, on its schema."""
    sweep = load("sweep", name)
    groups = {key.removeprefix("override /"): value for entry in sweep.defaults for key, value in entry.items()}
    model = typed(load("model", groups["model"]), ModelConfig, "model")
    data = typed(load("data", groups["data"]), DataConfig, "data")
    train = typed(OmegaConf.merge(load("train", groups["train"]), sweep.get("train", {})), TrainConfig, "train")
    evaluation = typed(OmegaConf.merge(load("eval", "default"), sweep.eval), EvalConfig, "eval")
    runs = []
    for grid in sweep.hydra.sweeper.grids:
        architecture = load("architecture", grid.architecture)
        architecture.expansion = grid["architecture.expansion"]
        for coefficient in grid.sparsity_coefficient:
            run = RunConfig(
                model=model, site=typed(load("site", grid.site), SiteConfig, "site"), data=data, train=train,
                architecture=typed(architecture, config_class(grid.architecture), "architecture"), eval=evaluation,
                layer=grid.layer, sparsity_coefficient=float(coefficient), seed=0,
            )  # fmt: skip
            check(run)
            runs.append(run)
    return runs


@pytest.mark.parametrize("name", FIGURES)
def test_every_run_is_sound_and_as_wide_as_the_paper_says(name: str):
    runs = runs_of(name)
    widths = {(run.architecture.name, run.site.name, run.layer, d_sae(run)) for run in runs}
    if name == "figure_6":
        assert widths == {("gated", "mlp_post", 0, 2**17), ("baseline", "mlp_post", 0, 3 * 2**16)}
        return
    sites = {"resid": "resid_post", "mlp": "mlp_out", "attn": "attn_z"}
    rows = [row for row in read_rows(PAPER_TABLE, FIGURES[name].published_as) if row.layer in FIGURES[name].layers]
    assert widths == {(row.architecture, sites[row.site], row.layer, row.width) for row in rows}


def test_evaluations_hold_over_a_million_predictions():
    for name in FIGURES:
        run = runs_of(name)[0]
        assert run.eval.sequences * (run.model.context - 1) > 1_000_000


def test_gated_lambdas_are_the_width_times_the_papers():
    found = {
        run.sparsity_coefficient
        for run in runs_of("figure_13")
        if (run.architecture.name, run.site.name, run.layer) == ("gated", "resid_post", 20)
    }
    assert 1.54 in found  # 5e-4 * 3072
    assert all(d_in(run) == 4096 for run in runs_of("figure_1") if run.site.name == "attn_z")


def rows(architecture: str, points: dict[float, float]) -> list[Row]:
    return [Row(architecture, "mlp", 4, lam, l0, 2**17, "") for lam, l0 in points.items()]


def test_ratio_of_arms_that_differ_in_the_unit_of_lambda_only_is_that_unit():
    gated = rows("gated", {1e-3 * 2**-i: 10.0 * 4**i for i in range(5)})
    baseline = rows("baseline", {1e-4 * 2**-i: 10.0 * 4**i for i in (0.5, 1.5, 2.5)})
    ratios = lambda_ratios(gated + baseline)
    assert ratios == pytest.approx([10.0] * 5)  # three baseline rows, and the two gated ones that they enclose


def test_ratio_is_read_within_the_overlap_and_off_sound_rows_only():
    gated = rows("gated", {1e-3: 10.0, 5e-4: 40.0})
    outside = rows("baseline", {1e-4: 9.0, 1e-5: 41.0})
    assert lambda_ratios(gated + rows("baseline", {1e-4: 5.0, 5e-5: 9.9})) == []
    assert len(lambda_ratios(gated + outside)) == 2  # the gated rows, between the baseline's
    doubtful = [replace(row, note="realigned") for row in outside]
    assert lambda_ratios(gated + doubtful) == []


def test_negative_l0_of_the_paper_are_never_read():
    text = PAPER_TABLE.read_text().splitlines()
    negative = [line for line in text if "negative_L0_in_paper" in line]
    assert len(negative) == 4 and len(text) == 284
    assert sum(len(read_rows(PAPER_TABLE, model)) for model in ("gemma-7b", "pythia-2.8b")) == 283 - len(negative)


def test_unknown_figure_is_named():
    with pytest.raises(UserError, match="figure_7 is unknown; accepted: figure_1"):
        sweep_yaml("figure_7")
