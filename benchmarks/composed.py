"""Runs from overrides, as the command line composes them."""

from collections.abc import Sequence

from pipeline.cli import announce_plugins
from pipeline.config import RunConfig
from pipeline.from_hydra import from_hydra
from pipeline.places import BASE


def compose(overrides: Sequence[str]) -> RunConfig:
    from hydra import compose, initialize_config_dir

    announce_plugins()
    with initialize_config_dir(str(BASE / "conf"), version_base="1.3"):
        return from_hydra(compose("config", list(overrides))).run
