"""What `hydra.launcher.*` accepts. Hydra's plugins read this at every start: nothing slow is imported here."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Options:
    """Both launchers' options."""

    runs_per_pack: int | None = None  # at most; null: as many as fit into memory_gb, but no more than 16
    memory_gb: float | None = None  # for one pack; null: what its device, or its Slurm task, has
    retries: int = 2  # how often a pack whose process was lost is started again
    poll_seconds: float = 1.0  # between looks at tasks


@dataclass
class LocalOptions(Options):
    """Packs on this machine, each in a process of its own, whose death the launcher survives."""

    slots: int | None = None  # packs at once, which divide cores and memory; null: one a GPU, or by what cores can do


@dataclass
class SlurmOptions(Options):
    """Packs as array tasks of a Slurm cluster, through submitit."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    gpus_per_node: int | None = None
    gres: str | None = None  # instead of gpus_per_node, as gpu:a100:1
    cpus_per_task: int = 4
    mem_gb: float | None = None  # null: the partition's default
    timeout_min: int = 720
    signal_delay_s: int = 120  # the warning before the time limit
    array_parallelism: int = 64  # tasks at once
    setup: list[str] = field(default_factory=list)  # shell lines before Python starts, as "module load cuda"
    container_image: str | None = None  # srun --container-image
    srun_args: list[str] = field(default_factory=list)
    additional_parameters: dict[str, Any] = field(default_factory=dict)  # of sbatch, as {mail-type: END}; + adds one
    wait: bool = True  # false: submit and return
    poll_seconds: float = 10.0
    settle_seconds: float = 30.0  # a task that ended without records is judged after so long: file systems lag
