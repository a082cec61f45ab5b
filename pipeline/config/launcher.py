"""What `hydra.launcher.*` accepts. Hydra's plugins read this at every start: nothing slow is imported here."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pipeline.config.accepted import AtOnce, Count, Form, Line, Range, Scalar, Seconds, Text

Gigabytes = Annotated[float, Range(above=0, at_most=1e6)]
ShellLine = Annotated[str, Line(10_000)]
PARAMETER = Form(
    r"[A-Za-z][A-Za-z0-9_-]{0,99}", "an option of sbatch without its hyphens, as mail-type", "is not an option"
)


@dataclass
class Options:
    """Both launchers' options."""

    runs_per_pack: Count | None = None  # at most; null: as many as fit into memory_gb, but no more than 16
    memory_gb: Gigabytes | None = None  # for one pack; null: what its device, or its Slurm task, has
    # how often a pack whose process was lost is started again
    retries: Annotated[int, Range(at_least=0, at_most=1000)] = 2
    poll_seconds: Seconds = 1.0  # between looks at tasks


@dataclass
class LocalOptions(Options):
    """Packs on this machine, each in its own process; the launcher survives their deaths."""

    # packs at once, which share cores and memory; null: one per GPU, or what the cores allow
    slots: AtOnce | None = None


@dataclass
class SlurmOptions(Options):
    """Packs as array tasks of a Slurm cluster, through submitit."""

    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    constraint: Text | None = None
    nodelist: Text | None = None
    exclude: Text | None = None
    gpus_per_node: Annotated[int, Range(at_least=0, at_most=1024)] | None = None
    gres: Text | None = None  # instead of gpus_per_node, as gpu:a100:1
    cpus_per_task: AtOnce = 4
    mem_gb: Gigabytes | None = None  # null: the partition's default
    timeout_min: Count = 720
    signal_delay_s: Annotated[int, Range(at_least=0, at_most=65535)] = 120  # the warning before the time limit
    array_parallelism: Count = 64  # tasks at once
    setup: list[ShellLine] = field(default_factory=list)  # shell lines before Python starts, as "module load cuda"
    container_image: Text | None = None  # srun --container-image
    srun_args: list[Text] = field(default_factory=list)
    # of sbatch, as {mail-type: END}; + adds one
    additional_parameters: dict[Annotated[str, PARAMETER], Annotated[Any, Scalar()]] = field(default_factory=dict)
    wait: bool = True  # false: submit and return
    poll_seconds: Seconds = 10.0
    # how long missing records are waited for after a task's end: file systems lag
    settle_seconds: Annotated[float, Range(at_least=0, at_most=86400)] = 30.0


LAUNCHERS: dict[str, type[Options]] = {"LocalLauncher": LocalOptions, "SlurmLauncher": SlurmOptions}
"""The options of each class of launchers in `pipeline/hydra_plugins`."""
