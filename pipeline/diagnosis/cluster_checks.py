"""Checks of a cluster's settings, each from facts to one finding. What they rest on was measured on a running Slurm."""

from collections.abc import Callable

from pipeline.diagnosis.check_result import CheckResult
from pipeline.diagnosis.cluster import ClusterFacts, seconds

Check = Callable[[ClusterFacts], CheckResult]

GRACE_SECONDS = 60
"""A step, a checkpoint of a large SAE on a shared disk, and the time that Slurm takes to start again."""
SHORTEST_LIMIT = 11 * 60
"""submitit takes a pre-emption in a job's last 10 minutes for a time-out."""
KILL_SECONDS, JOB_AGE = 10, 60
MANY_ARRAYS = 20
UNUSABLE = ("DOWN", "DRAIN", "FAIL", "NOT_RESPONDING", "MAINT")


def preemption(facts: ClusterFacts) -> CheckResult:
    mode = facts.preemption
    if mode == "OFF":
        return CheckResult("ok", f"partition {facts.name} is never pre-empted")
    if "REQUEUE" in mode:
        return CheckResult("ok", f"a pre-empted task of partition {facts.name} is requeued")
    does = "is suspended: its memory and GPU stay taken" if "SUSPEND" in mode else "is cancelled, not requeued"
    return CheckResult(
        "problem",
        f"PreemptMode={mode}: a pre-empted task of partition {facts.name} {does}; an administrator can set REQUEUE for "
        "it, else use another partition, or leave the launching command running: it submits cancelled tasks again",
    )


def grace_time(facts: ClusterFacts) -> CheckResult:
    if facts.preemption == "OFF":
        return CheckResult("ok", "no grace time is needed")
    grace = seconds(facts.partition.get("GraceTime", "0"))
    if grace >= GRACE_SECONDS:
        return CheckResult("ok", f"a pre-empted task has {grace:g} s to save")
    return CheckResult(
        "warn",
        f"GraceTime={grace:g} of partition {facts.name}: a pre-empted task may be killed before it has finished a step "
        "and saved, and loses the work since its last checkpoint; an administrator can set GraceTime=120, you can "
        "lower execution.checkpoint_seconds",
    )


def user_signal(facts: ClusterFacts) -> CheckResult:
    if facts.preemption == "OFF":
        return CheckResult("ok", "no signal of pre-emption is needed")
    words = facts.config.get("SlurmctldParameters", "") + "," + facts.config.get("PreemptParameters", "")
    if "preempt_send_user_signal" in words or "send_user_signal" in words:
        return CheckResult("ok", "a pre-empted task gets its own signal, saves and hands over")
    return CheckResult(
        "warn",
        "SlurmctldParameters has no preempt_send_user_signal: a pre-empted task gets SIGTERM as if you had cancelled "
        "it: it saves but cannot hand over, and Slurm kills and restarts it; an administrator can add the word",
    )


def requeue(facts: ClusterFacts) -> CheckResult:
    if facts.config.get("JobRequeue", "1") == "1":
        return CheckResult("ok", "a task whose node is lost is requeued")
    return CheckResult(
        "warn",
        "JobRequeue=0: only a job that asks for it is requeued when its node is lost or it is pre-empted; sweeps ask "
        "(--requeue): leave that in hydra.launcher.additional_parameters, and write it into scripts of your own",
    )


def array_size(facts: ClusterFacts) -> CheckResult:
    largest = int(facts.config.get("MaxArraySize", "1001")) - 1
    if largest < 1:
        return CheckResult("problem", "MaxArraySize=1: job arrays are switched off, which sweeps are submitted as")
    arrays = -(-facts.largest_sweep // largest)
    if arrays > MANY_ARRAYS:
        return CheckResult(
            "warn",
            f"MaxArraySize={largest + 1}: a sweep of {facts.largest_sweep} runs may need {arrays} arrays; raise "
            "hydra.launcher.runs_per_pack, or ask for a larger MaxArraySize",
        )
    return CheckResult("ok", f"an array holds {largest} tasks; larger sweeps are split")


def job_count(facts: ClusterFacts) -> CheckResult:
    most = int(facts.config.get("MaxJobCount", "10000"))
    if facts.largest_sweep >= most:
        return CheckResult(
            "problem",
            f"MaxJobCount={most}: a sweep of {facts.largest_sweep} runs may be refused half-way; raise "
            "hydra.launcher.runs_per_pack so that it has fewer tasks, or ask for a larger MaxJobCount",
        )
    return CheckResult("ok", f"the cluster holds {most} jobs")


def kill_wait(facts: ClusterFacts) -> CheckResult:
    wait = seconds(facts.config.get("KillWait", "30"))
    if wait >= KILL_SECONDS:
        return CheckResult("ok", f"a cancelled task has {wait:g} s to save")
    return CheckResult(
        "warn",
        f"KillWait={wait:g} s: a task that you cancel is killed before it has saved, and loses the work since its last "
        "checkpoint; an administrator can set KillWait=30",
    )


def job_age(facts: ClusterFacts) -> CheckResult:
    age = seconds(facts.config.get("MinJobAge", "300"))
    if age >= JOB_AGE:
        return CheckResult("ok", f"squeue knows an ended task for {age:g} s")
    return CheckResult(
        "warn",
        f"MinJobAge={age:g} s: ended tasks vanish from squeue before the launcher looks, and why they ended is not "
        "known; keep hydra.launcher.poll_seconds below it, or ask for MinJobAge=300",
    )


def time_limit(facts: ClusterFacts) -> CheckResult:
    limit = seconds(facts.partition.get("MaxTime", "UNLIMITED"))
    if limit >= SHORTEST_LIMIT:
        return CheckResult("ok", f"the time limit of partition {facts.name} is {facts.partition.get('MaxTime')}")
    return CheckResult(
        "problem",
        f"MaxTime={facts.partition['MaxTime']} of partition {facts.name}: under 11 minutes every pre-emption counts as "
        "a time-out, and tasks spend their time on starting; choose another partition",
    )


def gpus(facts: ClusterFacts) -> CheckResult:
    if not facts.has_gpus:
        return CheckResult(
            "warn",
            f"partition {facts.name} has no GPU that Slurm hands out: everything trains on processors "
            "(hydra/launcher=slurm_cpu); sinfo -o '%P %G' shows which partition has some",
        )
    kinds = sorted({node["Gres"] for node in facts.nodes if "gpu" in node.get("Gres", "")})
    return CheckResult("ok", f"partition {facts.name} has GPUs: {', '.join(kinds)} a node")


def accounting(facts: ClusterFacts) -> CheckResult:
    enforced = facts.config.get("AccountingStorageEnforce", "none").lower()
    if "associations" in enforced or "limits" in enforced:
        return CheckResult(
            "ok", f"accounts and limits are enforced ({enforced}): hydra.launcher.account and qos may be wanted"
        )
    kind = facts.config.get("AccountingStorageType", "(null)")
    without = "without an accounting database" if "slurmdbd" not in kind else "with an accounting database"
    return CheckResult("ok", f"{without}: the launcher needs none")


def memory_limit(facts: ClusterFacts) -> CheckResult:
    by_group = "cgroup" in facts.config.get("TaskPlugin", "")
    by_sampling = "OverMemoryKill" in facts.config.get("JobAcctGatherParams", "")
    if by_group or by_sampling:
        return CheckResult(
            "ok", f"a task's memory is limited by {'cgroups' if by_group else 'sampling (OverMemoryKill)'}"
        )
    return CheckResult(
        "warn",
        "nothing keeps a task to the memory it asked for (no task/cgroup, no OverMemoryKill): a pack that needs more "
        "takes other jobs, or the node, with it; state hydra.launcher.memory_gb below what a node has",
    )


def memory_counted(facts: ClusterFacts) -> CheckResult:
    if "MEMORY" in facts.config.get("SelectTypeParameters", "").upper():
        return CheckResult("ok", "Slurm counts memory when it places tasks")
    return CheckResult(
        "warn",
        "SelectTypeParameters does not count memory: tasks that together need more than a node has are placed on it; "
        "ask for as many processors as their memory is worth (hydra.launcher.cpus_per_task)",
    )


def nodes_up(facts: ClusterFacts) -> CheckResult:
    usable = [n for n in facts.nodes if "*" not in n["State"] and not any(word in n["State"] for word in UNUSABLE)]
    count = f"{len(usable)} of {len(facts.nodes)} nodes of partition {facts.name}"
    if facts.partition.get("State", "UP") != "UP":
        return CheckResult("problem", f"partition {facts.name} is {facts.partition['State']}: nothing starts in it")
    if not usable:
        return CheckResult(
            "problem", f"{count} can be used: tasks wait until an administrator brings some back (sinfo -R)"
        )
    return CheckResult("ok" if len(usable) == len(facts.nodes) else "warn", f"{count} can be used (sinfo -R says why)")


CHECKS: tuple[Check, ...] = (
    preemption, grace_time, user_signal, requeue, array_size, job_count, kill_wait, job_age, time_limit, gpus,
    accounting, memory_limit, memory_counted, nodes_up,
)  # fmt: skip
