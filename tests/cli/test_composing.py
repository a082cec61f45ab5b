"""Runs of a sweep are composed as Hydra composes them, only faster."""

from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pipeline.cli.compose import Composer
from pipeline.cli.hydra_main import announce_plugins
from pipeline.storage.places import CONF

announce_plugins()


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(scope="module")
def master(loader) -> DictConfig:
    return loader.load_configuration("config", ["hydra.job.name=run", "sweep=smoke"], RunMode.MULTIRUN)


def hydras(loader: ConfigLoader, master: DictConfig, overrides: list[str]) -> dict:
    content = OmegaConf.to_container(loader.load_sweep_config(master, overrides))
    del content["hydra"]
    return content


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["architecture=baseline", "seed=3", "train.lr=5e-4"],
        ["seed=3", "train.lr=5e-4", "train=paper", "site=resid_post"],
        ["model=gpt2", "model.dtype=bfloat16", "layer=2", "sweep=smoke"],
        ["train.resample.steps=[1,2]", "train.resample={window: 7}", "data={name: other}"],
        ["+architecture.width=7", "++train.more=1", "~tracker.project", "model.path=null"],
        ["sweep=gated_vs_baseline", "sweep_name=slow", "train.input_scale='a b'"],
    ],
)
def test_each_run_is_as_hydra_composes_it(loader, master, overrides):
    compose = Composer(loader, master)
    compose([*overrides, "++eval.first=1"])  # what an earlier run was given does not stay
    assert OmegaConf.to_container(compose(overrides)) == hydras(loader, master, overrides)


@pytest.mark.parametrize(
    "wrong", ["train.stepz=1", "site=nowhere", "architecture.expansion.no=1", "+seed=1", "~none.such"]
)
def test_mistakes_are_hydras(loader, master, wrong):
    with pytest.raises(Exception) as hydra_says:
        loader.load_sweep_config(master, ["architecture=gated", wrong])
    with pytest.raises(type(hydra_says.value)) as raised:
        Composer(loader, master)(["architecture=gated", wrong])
    assert str(raised.value) == str(hydra_says.value)


def test_files_are_composed_once_for_each_choice_of_groups(loader, master, monkeypatch):
    real, chosen = loader.load_sweep_config, []
    monkeypatch.setattr(loader, "load_sweep_config", lambda m, words: (chosen.append(words), real(m, words))[1])
    compose = Composer(loader, master)
    grid = [["seed=1", f"architecture={arm}", f"layer={layer}"] for arm in ("gated", "baseline") for layer in range(3)]
    runs = [compose(overrides) for overrides in grid]
    assert chosen == [["architecture=gated"], ["architecture=baseline"]]
    assert [(run.architecture.name, run.layer) for run in runs] == [
        (arm, layer) for arm in ("gated", "baseline") for layer in range(3)
    ]
