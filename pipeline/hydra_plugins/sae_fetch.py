"""Hydra plugin: `hydra/launcher=fetch` fetches what the runs of a sweep read from the hub, and trains none.

Hydra scans this module at every start: whatever is slow to import is imported late. It may not use
`from __future__ import annotations` (Hydra executes it before it is a module).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class FetchConf:
    _target_: str = "hydra_plugins.sae_fetch.FetchLauncher"


class FetchLauncher(Launcher):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from pipeline.cli.compose import Composer
        from pipeline.cli.validate import from_hydra
        from pipeline.launching.fetch import fetch

        compose = Composer(self.hydra_context.config_loader, self.config)
        for line in fetch([from_hydra(compose(overrides)).run for overrides in job_overrides]):
            print(line, flush=True)
        return [JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED) for overrides in job_overrides]


ConfigStore.instance().store(group="hydra/launcher", name="fetch", node=FetchConf, provider="pipeline")
