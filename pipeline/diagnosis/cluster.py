"""What Slurm says of itself: scontrol's words, parsed; nothing is judged here."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.config.hints import hint
from pipeline.errors import UserError
from pipeline.slurm.squeue import NoAnswer, outside_of_jobs

SECONDS = 30
UNUSABLE = ("DOWN", "DRAIN", "FAIL", "NOT_RESPONDING", "MAINT")


@dataclass(frozen=True)
class ClusterFacts:
    """`scontrol show config`, one record of `show partition`, its nodes of `show node`: words as Slurm writes them."""

    config: Mapping[str, str]
    partition: Mapping[str, str]
    nodes: Sequence[Mapping[str, str]]
    largest_sweep: int = 0  # runs of the largest sweep on disk: at most that many tasks

    @property
    def name(self) -> str:
        return self.partition["PartitionName"]

    @property
    def preemption(self) -> str:
        """What happens to a pre-empted job of the partition: OFF, REQUEUE, CANCEL, SUSPEND, ..."""
        if self.config.get("PreemptType", "preempt/none").endswith("none"):
            return "OFF"
        return self.partition.get("PreemptMode") or self.config.get("PreemptMode", "OFF")

    @property
    def grace(self) -> float:
        """Seconds."""
        return seconds(self.partition.get("GraceTime", "0"))

    @property
    def sends_user_signal(self) -> bool:
        words = self.config.get("SlurmctldParameters", "") + "," + self.config.get("PreemptParameters", "")
        return "send_user_signal" in words

    @property
    def requeues(self) -> bool:
        """Whether a job that does not say is requeued."""
        return self.config.get("JobRequeue", "1") == "1"

    @property
    def max_array_size(self) -> int:
        """One more than the tasks of the largest array."""
        return int(self.config.get("MaxArraySize", "1001"))

    @property
    def largest_array(self) -> int:
        return self.max_array_size - 1

    @property
    def arrays(self) -> int:
        """That the largest sweep needs, with one run per task."""
        return -(-self.largest_sweep // self.largest_array)

    @property
    def most_jobs(self) -> int:
        return int(self.config.get("MaxJobCount", "10000"))

    @property
    def kill_wait(self) -> float:
        """Seconds."""
        return seconds(self.config.get("KillWait", "30"))

    @property
    def job_age(self) -> float:
        """Seconds."""
        return seconds(self.config.get("MinJobAge", "300"))

    @property
    def max_time(self) -> str:
        return self.partition.get("MaxTime", "UNLIMITED")

    @property
    def time_limit(self) -> float:
        """Seconds."""
        return seconds(self.max_time)

    @property
    def has_gpus(self) -> bool:
        return any("gpu" in node.get("Gres", "") for node in self.nodes)

    @property
    def gpu_kinds(self) -> str:
        return ", ".join(sorted({node["Gres"] for node in self.nodes if "gpu" in node.get("Gres", "")}))

    @property
    def enforced(self) -> str:
        return self.config.get("AccountingStorageEnforce", "none").lower()

    @property
    def has_database(self) -> bool:
        return "slurmdbd" in self.config.get("AccountingStorageType", "")

    @property
    def limits_by_cgroup(self) -> bool:
        return "cgroup" in self.config.get("TaskPlugin", "")

    @property
    def limits_by_sampling(self) -> bool:
        return "OverMemoryKill" in self.config.get("JobAcctGatherParams", "")

    @property
    def counts_memory(self) -> bool:
        return "MEMORY" in self.config.get("SelectTypeParameters", "").upper()

    @property
    def state(self) -> str:
        """Of the partition."""
        return self.partition.get("State", "UP")

    @property
    def usable(self) -> int:
        """Nodes that answer and take tasks."""
        states = [node["State"] for node in self.nodes]
        return sum("*" not in state and not any(word in state for word in UNUSABLE) for state in states)

    @property
    def usable_of_all(self) -> str:
        return f"{self.usable} of {len(self.nodes)} nodes of partition {self.name}"


def has_slurm() -> bool:
    return shutil.which("scontrol") is not None


def ask(partition: str | None, largest_sweep: int) -> ClusterFacts:
    """The facts of the running cluster.

    Raises:
        NoAnswer: the controller is away.
        UserError: there is no such partition.
    """
    partitions = records(scontrol("show", "partition"), "PartitionName")
    names = [found["PartitionName"] for found in partitions]
    chosen = [p for p in partitions if (p["PartitionName"] == partition if partition else p["Default"] == "YES")]
    if partition and not chosen:
        raise UserError(f"partition={partition} is unknown{hint(partition, names)}")
    if not chosen:
        raise UserError(f"the cluster has no default partition: give partition=NAME (one of {', '.join(names)})")
    nodes = records(scontrol("show", "node"), "NodeName")
    mine = [n for n in nodes if chosen[0]["PartitionName"] in n.get("Partitions", "").split(",")]
    return ClusterFacts(settings(scontrol("show", "config")), chosen[0], mine, largest_sweep)


def scontrol(*arguments: str) -> str:
    try:
        with outside_of_jobs():
            command = ["scontrol", "-o", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"nothing within {SECONDS} s") from None
    except OSError as error:
        raise NoAnswer(f"scontrol: {error.strerror}") from error
    if done.returncode:
        raise NoAnswer((done.stderr.strip().splitlines() or ["no answer"])[-1])
    return done.stdout


def settings(text: str) -> dict[str, str]:
    """`scontrol show config`: lines of Key = value."""
    return dict(re.findall(r"^(\w[\w/]*)\s*=[ \t]*(.*?)[ \t]*$", text, re.M))


def records(text: str, first_key: str) -> list[dict[str, str]]:
    """`scontrol -o show ...`: a record a line, of Key=value."""
    lines = [line for line in text.splitlines() if line.startswith(first_key)]
    return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]


def seconds(text: str) -> float:
    """A duration as Slurm writes it: 15, 30 sec, 10:00, 1-12:00:00, UNLIMITED."""
    if text.upper() in {"UNLIMITED", "INFINITE", "NONE"}:
        return float("inf")
    days, _, rest = text.removesuffix(" sec").rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if days:
        parts += [0] * (3 - len(parts))
    in_a_day = sum(part * 60.0**power for power, part in enumerate(reversed(parts)))
    return int(days or 0) * 86400 + in_a_day
