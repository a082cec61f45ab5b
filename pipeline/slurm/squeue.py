"""What Slurm says of tasks, without an accounting database: one squeue call for all, and limits from scontrol."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

SECONDS = 60.0
KEPT = {"SLURM_CONF", "SLURM_CLUSTERS"}
OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
BY_A_JOB = ("SBATCH_", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES")
"""Beginnings of variables that mean a job wherever they are, and of others that are the user's own out of one."""
RELEASE = "scontrol release {id}"
STUCK = {
    "JobHeldAdmin": "an administrator holds it: ask why",
    "held": f"it never starts by itself: {RELEASE}",  # JobHeldUser; launch failed requeued held
    "DependencyNeverSatisfied": "what it waits for has failed: scancel {id}, then give the same command again",
    "BadConstraints": "no node fits: change hydra.launcher.constraint, scancel {id} and give the same command again",
    "PartitionNodeLimit": "it asks for more than the partition allows: scancel {id} and ask for less",
    "PartitionTimeLimit": "hydra.launcher.timeout_min is above the partition's limit: scancel {id} and lower it",
    "InvalidAccount": "hydra.launcher.account is wrong: scancel {id} and correct it",
    "InvalidQOS": "hydra.launcher.qos is wrong: scancel {id} and correct it",
    "ReqNodeNotAvail": "the nodes that it asks for are down or reserved: sinfo says more",
}
"""Reasons of pending tasks that do not pass with time, and what to do about each."""


class NoAnswer(Exception):
    """The controller is away; what was known stays true until it is back."""


@dataclass(frozen=True)
class Row:
    """One task as squeue lists it."""

    state: str
    node: str
    reason: str
    name: str


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Hide an outer job from the environment: sbatch would take its settings over. Where the cluster is stays known."""
    prefixes = OF_A_JOB + (BY_A_JOB if "SLURM_JOB_ID" in os.environ else ())
    hidden = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith(prefixes) and k not in KEPT}
    try:
        yield
    finally:
        os.environ.update(hidden)


def jobs(ids: Sequence[str] = (), name: str | None = None) -> dict[str, Row]:
    """Tasks by id (123_4 in an array) of these jobs, or of those with a name, also those that ended a while ago.

    Raises:
        NoAnswer: Slurm cannot be asked.
    """
    chosen = ["--name", name] if name else ["-j", ",".join(sorted({i.split("_")[0] for i in ids}))]
    done = _ask("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%N|%j|%r", *chosen)
    if done.returncode and "Invalid job id" not in done.stderr:
        raise NoAnswer(_last_line(done.stderr))
    rows = (line.split("|", 4) for line in done.stdout.splitlines() if line.count("|") >= 4)
    return {number: Row(state, node, reason, job) for number, state, node, job, reason in rows}


def advice(row: Row, job_id: str) -> str | None:
    """What to do about a task that will not start by itself."""
    if row.state not in {"PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT"}:
        return None
    key = next((key for key in STUCK if key.lower() in row.reason.lower()), None)
    return None if key is None else STUCK[key].format(id=job_id)


def largest_array() -> int:
    """How many tasks one array may hold: MaxArraySize bounds the index, which begins at 0."""
    done = _ask("scontrol", "show", "config")
    found = {key: int(n) for key, n in re.findall(r"^(MaxArraySize|MaxJobCount)\s*=\s*(\d+)", done.stdout, re.M)}
    return max(1, min(found.get("MaxArraySize", 1001), found.get("MaxJobCount", 10000) - 1))


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        with outside_of_jobs():
            return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(str(error)) from error


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no answer"])[-1]
