"""Hydra plugin: `hydra/sweeper=grids` declares a sweep as a union of grids.

Hydra scans this module at every start: whatever is slow to import is imported late. It may not use
`from __future__ import annotations` (Hydra executes it before it is a module).
"""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf


@dataclass
class GridsSweeperConf:
    """`params` is multiplied into every one of `grids`; values are scalars, lists, or Hydra's own sweep syntax."""

    _target_: str = "hydra_plugins.sae_grids.GridsSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    grids: list[Any] = field(default_factory=lambda: [{}])


class GridsSweeper(BasicSweeper):
    """All runs of a union of grids, each once; a key on the command line replaces that key in every grid."""

    def __init__(self, params: Any, grids: Any) -> None:
        super().__init__(None, {})
        self.common: dict[str, Any] = _plain(params)
        self.grids: list[dict[str, Any]] = _plain(grids)

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        from pipeline.cli.grids import check_count, check_grids, count

        check_grids(self.common, self.grids)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = parser.parse_overrides(arguments)
        grids = [
            [*parser.parse_overrides([_override(key, v) for key, v in {**self.common, **grid}.items()]), *given]
            for grid in self.grids
        ]
        check_count(sum(map(count, grids)))
        jobs: dict[tuple[str, ...], list[str]] = {}
        for overrides in grids:
            for job in BasicSweeper.split_arguments(overrides, None)[0]:
                jobs.setdefault(tuple(sorted(job)), list(job))
        returns = self.launcher.launch(list(jobs.values()), initial_job_idx=0)
        if any(returned.status is not JobStatus.COMPLETED for returned in returns):
            raise SystemExit(1)  # the launcher has said which runs have no record
        return [returns]


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _override(key: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return f"{key}={','.join(_text(v) for v in values)}"


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


ConfigStore.instance().store(group="hydra/sweeper", name="grids", node=GridsSweeperConf, provider="pipeline")
