"""Hydra plugins: `hydra/launcher=local` trains a sweep's packs on this machine, `hydra/launcher=slurm` on a cluster.

Hydra scans this module at every start: whatever is slow to import is imported late. It may not use
`from __future__ import annotations` (Hydra executes it before it is a module).
"""

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pipeline.config.launcher import LAUNCHERS, Options


class LocalLauncher(Launcher):
    """Composes all runs, then hands them to `pipeline.launching.launch`."""

    def __init__(self, **options: Any) -> None:
        """Options are read in `setup`: Hydra wraps what is raised here in an error of its own."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from pipeline.cli.validate import launcher_options

        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.options = launcher_options(config.hydra.launcher)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from pipeline.cli.compose import Composer
        from pipeline.cli.validate import from_hydra
        from pipeline.launching.launch import launch

        compose = Composer(self.hydra_context.config_loader, self.config)
        configs = [compose(overrides) for overrides in job_overrides]
        jobs = [from_hydra(config) for config in configs]
        complete = launch(jobs, self.options, jobs[0].plan, jobs[0].extend)
        status = JobStatus.COMPLETED if complete else JobStatus.FAILED
        return [JobReturn(overrides=list(overrides), status=status) for overrides in job_overrides]


class SlurmLauncher(LocalLauncher):
    """The same with tasks of Slurm: `pipeline.launching.launch` tells them apart by their options."""


def _settings() -> str:
    from pipeline.cli.settings_help import described

    return described()


OmegaConf.register_new_resolver("settings", _settings, replace=True)  # for hydra.help.footer in conf/config.yaml


def _node(launcher: str, options: type[Options]) -> type:
    """The options for Hydra, which knows their names: values are checked by `launcher_options`, as all others are."""
    known = [(f.name, Any, field(default=f.default, default_factory=f.default_factory)) for f in fields(options)]
    target = ("_target_", str, field(default=f"hydra_plugins.sae_launchers.{launcher}"))
    return make_dataclass(f"{launcher}Conf", [*known, target])


for _launcher, _options in LAUNCHERS.items():
    _name = _launcher.removesuffix("Launcher").lower()
    ConfigStore.instance().store(
        group="hydra/launcher", name=_name, node=_node(_launcher, _options), provider="pipeline"
    )
