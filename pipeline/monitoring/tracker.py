"""Optional trackers of each run's history: TensorBoard or W&B, in the run's own folder.

Each process has its own files there. W&B's files are written by a process of W&B, which needs no lease.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.config.schema import RunConfig, TrackerConfig, plain
from pipeline.runtime.preconditions import check_tracker
from pipeline.storage import write_access


class Tracker(Protocol):
    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows of a run's history; TensorBoard's are on disk on return."""

    def close(self) -> None: ...


class TensorBoardTracker:
    def __init__(self, run: RunConfig, folder: Path, config: TrackerConfig) -> None:
        del run, config
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            for key, value in row.items():
                self._writer.add_scalar(key, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandbTracker:
    def __init__(self, run: RunConfig, folder: Path, config: TrackerConfig) -> None:
        import wandb

        self._run = wandb.init(
            project=config.project, name=folder.name, id=folder.name[-12:], resume="allow", dir=str(folder),
            config=plain(run), reinit="create_new",
        )  # fmt: skip

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._run.log(row, step=row["step"])

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, type] = {"tensorboard": TensorBoardTracker, "wandb": WandbTracker}


def open_tracker(run: RunConfig, folder: Path, config: TrackerConfig) -> Tracker | None:
    """The tracker that `tracker=` names, or None."""
    if config.name == "none":
        return None
    check_tracker(config)  # here too: a node may lack a package that the launching machine has
    write_access.check(folder / config.name)
    tracker: Tracker = TRACKERS[config.name](run, folder, config)
    return tracker
