"""A default stands once, in its dataclass: files of conf/ state what differs, and any key can be given all the same."""

from dataclasses import is_dataclass
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pipeline.cli.hydra_main import announce_plugins
from pipeline.cli.validate import from_hydra
from pipeline.config.defaults import default_tree
from pipeline.config.schema import DataConfig, EvalConfig, Execution, ResampleConfig, TrainConfig
from pipeline.storage.places import CONF_FOLDERS

CONF = CONF_FOLDERS[0]
IN_FULL = {"train/paper"}
"""Files that state all settings: where the paper's are our defaults, that is chance."""


def composed(*overrides: str) -> Any:
    announce_plugins()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def repeated(stated: dict[str, Any], defaults: dict[str, Any], key: str) -> list[str]:
    found = []
    for name, value in stated.items():
        if isinstance(value, dict) and isinstance(defaults.get(name), dict):
            found += repeated(value, defaults[name], f"{key}.{name}")
        elif name != "name" and name in defaults and value == defaults[name] and value != "???":
            found.append(f"{key}.{name}")
    return found


def test_no_file_of_conf_repeats_a_default() -> None:
    found, files = [], 0
    for section, defaults in default_tree().items():
        for path in (CONF / section).glob("*.yaml"):
            if f"{section}/{path.stem}" not in IN_FULL:
                files += 1
                found += repeated(OmegaConf.to_container(OmegaConf.load(path)), defaults, f"{path.name}: {section}")
    root = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"))
    found += repeated(
        {key: value for key, value in root.items() if key not in {"hydra", "defaults"}}, default_tree(), ""
    )
    assert not found and files > 20, found


def test_what_repeats_a_default_is_found() -> None:
    assert repeated({"steps": 5, "lr_decay": 0, "resample": {"window": 1000}}, default_tree()["train"], "train") == [
        "train.lr_decay", "train.resample.window",
    ]  # fmt: skip


def test_what_no_file_states_is_as_the_dataclasses_have_it() -> None:
    job = from_hydra(composed("data=files", "data.path=x"))
    data = DataConfig("files", "files", path="x", packing="concatenate")
    assert (job.run.data, job.run.eval, job.plan, job.extend) == (data, EvalConfig(), False, False)
    assert job.run.train == TrainConfig(steps=5000, batch=256, lr=1e-3, lr_warmup=200)
    assert job.execution == Execution(sweeps_dir=job.execution.sweeps_dir)


@pytest.mark.parametrize(
    ("override", "expected"),
    [("train.beta1=0.9", 0.9), ("train.resample.window=7", 7), ("eval.prune_below=[0.5]", (0.5,))],
)
def test_a_key_that_no_file_states_can_be_given(override: str, expected: object) -> None:
    found: Any = from_hydra(composed(override)).run
    for name in override.partition("=")[0].split("."):
        found = getattr(found, name)
    assert found == expected


def test_the_tree_has_every_section_of_a_run() -> None:
    tree = default_tree()
    assert {*tree} == {"model", "site", "data", "train", "eval", "execution", "tracker", "plan", "extend"}
    assert tree["train"]["resample"] == {
        name: list(value) if isinstance(value, tuple) else value for name, value in vars(ResampleConfig()).items()
    }
    assert not any(
        is_dataclass(value) for section in tree.values() if isinstance(section, dict) for value in section.values()
    )
