"""The configuration of a test cluster: good settings, each of which a test may replace by a bad one."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CONF: dict[str, str | None] = {
    "ClusterName": "test",
    "SlurmUser": "root",
    "SlurmdUser": "root",
    "AuthType": "auth/munge",
    # cred_expire is also how long a requeued job waits before it may start again; Slurm's default is 120 s
    "AuthInfo": "socket={folder}/munge/munge.sock,cred_expire=5",
    "StateSaveLocation": "{folder}/state",
    "SlurmdSpoolDir": "{folder}/spool/%n",
    "SlurmctldPidFile": "{folder}/run/slurmctld.pid",
    "SlurmdPidFile": "{folder}/run/slurmd.%n.pid",
    "SlurmctldLogFile": "{folder}/log/slurmctld.log",
    "SlurmdLogFile": "{folder}/log/slurmd.%n.log",
    "SlurmctldDebug": "info",
    "SlurmdDebug": "info",
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "JobAcctGatherType": "jobacct_gather/linux",
    "JobAcctGatherFrequency": "task=2",
    "JobAcctGatherParams": "OverMemoryKill",  # memory limits without cgroups, sampled every 2 s
    "AccountingStorageType": "accounting_storage/none",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_CPU_Memory",
    "SlurmdParameters": "config_overrides",  # nodes have the processors and memory that are written here
    "MpiDefault": "none",
    "SwitchType": "switch/none",
    "ReturnToService": "2",
    "SchedulerType": "sched/backfill",
    "SchedulerParameters": "sched_min_interval=0,bf_interval=2,bf_max_job_test=2000,default_queue_depth=2000",
    "PriorityType": "priority/basic",
    "PreemptType": "preempt/partition_prio",
    "PreemptMode": "REQUEUE",
    "SlurmctldParameters": "preempt_send_user_signal",
    "JobRequeue": "1",
    "KillWait": "10",
    "MinJobAge": "3600",
    "MaxJobCount": "20000",
    "MaxArraySize": "1001",
    "SlurmctldTimeout": "10",
    "SlurmdTimeout": "15",
    "InactiveLimit": "0",
    "MessageTimeout": "10",
    "TCPTimeout": "2",
}
PARTITIONS = {
    "main": "Default=YES PriorityTier=10 PreemptMode=OFF",
    "scavenge": "PriorityTier=1 PreemptMode=REQUEUE GraceTime=15",
    "urgent": "PriorityTier=100 PreemptMode=OFF",
}
DEFAULT_PARTITION = "Nodes=ALL State=UP MaxTime=7-0 DefaultTime=60 DefMemPerCPU=256 OverSubscribe=NO"


@dataclass(frozen=True)
class Settings:
    """What a test may ask for. `conf` replaces lines of slurm.conf, None leaves one out; `partitions` likewise."""

    nodes: int = 4
    cpus: int = 4
    memory_mb: int = 8000
    gpus: int = 2
    conf: dict[str, str | None] = field(default_factory=dict)
    partitions: dict[str, str | None] = field(default_factory=dict)

    @property
    def node_names(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def slurm_conf(settings: Settings, folder: Path, port: int, host: str) -> str:
    """The text of slurm.conf; the controller listens on `port`, the nodes on those that follow."""
    # A job's number never comes twice on one machine: submitit would take an older job's result for this one's.
    first_job = int(time.time()) % 60_000_000 + 1
    keys = {"SlurmctldHost": f"{host}(127.0.0.1)", "SlurmctldPort": str(port), "FirstJobId": str(first_job)}
    if settings.gpus:
        keys["GresTypes"] = "gpu"
    lines = [f"{key}={value}".replace("{folder}", str(folder)) for key, value in _chosen(keys | CONF, settings.conf)]
    gres = f" Gres=gpu:{settings.gpus}" if settings.gpus else ""
    for number, name in enumerate(settings.node_names, 1):
        where = f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + number}"
        lines.append(f"{where} CPUs={settings.cpus} RealMemory={settings.memory_mb}{gres} State=UNKNOWN")
    lines.append(f"PartitionName=DEFAULT {DEFAULT_PARTITION}")
    lines += [f"PartitionName={name} {options}" for name, options in _chosen(PARTITIONS, settings.partitions)]
    return "\n".join(lines) + "\n"


def gres_conf(settings: Settings, folder: Path) -> str:
    """Fake GPUs: Slurm hands them out and sets CUDA_VISIBLE_DEVICES; nothing can be computed on them."""
    if not settings.gpus:
        return ""
    nodes = f"n[1-{settings.nodes}]" if settings.nodes > 1 else "n1"
    devices = f"gpu[0-{settings.gpus - 1}]" if settings.gpus > 1 else "gpu0"
    return f"AutoDetect=off\nNodeName={nodes} Name=gpu File={folder}/dev/{devices} Flags=nvidia_gpu_env\n"


def _chosen(defaults: dict[str, Any], replaced: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, value) for key, value in (defaults | replaced).items() if value is not None]
