"""Runs from overrides, as the command line composes them."""

from collections.abc import Sequence

from pipeline.cli.hydra_main import announce_plugins
from pipeline.cli.validate import from_hydra
from pipeline.config.schema import RunConfig
from pipeline.storage.places import BASE


def compose(overrides: Sequence[str]) -> RunConfig:
    from hydra import compose, initialize_config_dir

    announce_plugins()
    with initialize_config_dir(str(BASE / "conf"), version_base="1.3"):
        return from_hydra(compose("config", list(overrides))).run
