"""Checks of a cluster's settings, as a table. What they rest on was measured on a running Slurm."""

from collections.abc import Mapping, Sequence

from pipeline.diagnosis.check_result import Case
from pipeline.diagnosis.cluster import ClusterFacts

GRACE_SECONDS = 60
"""A step, a checkpoint of a large SAE on a shared disk, and the time that Slurm takes to start again."""
SHORTEST_LIMIT = 11 * 60
"""submitit takes a pre-emption in a job's last 10 minutes for a time-out."""
KILL_SECONDS, JOB_AGE = 10, 60
MANY_ARRAYS = 20

CHECKS: Mapping[str, Sequence[Case[ClusterFacts]]] = {
    "preemption": (
        Case("ok", "partition {f.name} is never pre-empted", lambda f: f.preemption == "OFF"),
        Case("ok", "a pre-empted task of partition {f.name} is requeued", lambda f: "REQUEUE" in f.preemption),
        Case(
            "problem",
            "PreemptMode={f.preemption}: a pre-empted task of partition {f.name} is suspended: its memory and GPU stay "
            "taken; an administrator can set REQUEUE for it, else use another partition",
            lambda f: "SUSPEND" in f.preemption,
        ),
        Case(
            "problem",
            "PreemptMode={f.preemption}: a pre-empted task of partition {f.name} is cancelled, not requeued; an "
            "administrator can set REQUEUE for it, else use another partition, or leave the launching command running: "
            "it submits cancelled tasks again",
        ),
    ),
    "grace_time": (
        Case("ok", "no grace time is needed", lambda f: f.preemption == "OFF"),
        Case("ok", "a pre-empted task has {f.grace:g} s to save", lambda f: f.grace >= GRACE_SECONDS),
        Case(
            "warn",
            "GraceTime={f.grace:g} of partition {f.name}: a pre-empted task may be killed before it has finished a "
            "step and saved, and loses the work since its last checkpoint; an administrator can set GraceTime=120, you "
            "can lower execution.checkpoint_seconds",
        ),
    ),
    "user_signal": (
        Case("ok", "no signal of pre-emption is needed", lambda f: f.preemption == "OFF"),
        Case("ok", "a pre-empted task gets its own signal, saves and hands over", lambda f: f.sends_user_signal),
        Case(
            "warn",
            "SlurmctldParameters has no preempt_send_user_signal: a pre-empted task gets SIGTERM as if you had "
            "cancelled it: it saves but cannot hand over, and Slurm kills and restarts it; an administrator can add "
            "the word",
        ),
    ),
    "requeue": (
        Case("ok", "a task whose node is lost is requeued", lambda f: f.requeues),
        Case(
            "warn",
            "JobRequeue=0: only a job that asks for it is requeued when its node is lost or it is pre-empted; sweeps "
            "ask (--requeue): leave that in hydra.launcher.additional_parameters, and write it into scripts of your "
            "own",
        ),
    ),
    "array_size": (
        Case(
            "problem", "MaxArraySize=1: job arrays are switched off, which sweeps are submitted as",
            lambda f: f.largest_array < 1,
        ),
        Case(
            "warn",
            "MaxArraySize={f.max_array_size}: a sweep of {f.largest_sweep} runs may need {f.arrays} arrays; raise "
            "hydra.launcher.runs_per_pack, or ask for a larger MaxArraySize",
            lambda f: f.arrays > MANY_ARRAYS,
        ),
        Case("ok", "an array holds {f.largest_array} tasks; larger sweeps are split"),
    ),
    "job_count": (
        Case(
            "problem",
            "MaxJobCount={f.most_jobs}: a sweep of {f.largest_sweep} runs may be refused half-way; raise "
            "hydra.launcher.runs_per_pack so that it has fewer tasks, or ask for a larger MaxJobCount",
            lambda f: f.largest_sweep >= f.most_jobs,
        ),
        Case("ok", "the cluster holds {f.most_jobs} jobs"),
    ),
    "kill_wait": (
        Case("ok", "a cancelled task has {f.kill_wait:g} s to save", lambda f: f.kill_wait >= KILL_SECONDS),
        Case(
            "warn",
            "KillWait={f.kill_wait:g} s: a task that you cancel is killed before it has saved, and loses the work "
            "since its last checkpoint; an administrator can set KillWait=30",
        ),
    ),
    "job_age": (
        Case("ok", "squeue knows an ended task for {f.job_age:g} s", lambda f: f.job_age >= JOB_AGE),
        Case(
            "warn",
            "MinJobAge={f.job_age:g} s: ended tasks vanish from squeue before the launcher looks, and why they ended "
            "is not known; keep hydra.launcher.poll_seconds below it, or ask for MinJobAge=300",
        ),
    ),
    "time_limit": (
        Case(
            "ok", "the time limit of partition {f.name} is {f.max_time}",
            lambda f: f.time_limit >= SHORTEST_LIMIT,
        ),
        Case(
            "problem",
            "MaxTime={f.max_time} of partition {f.name}: under 11 minutes every pre-emption counts as a time-out, and "
            "tasks spend their time on starting; choose another partition",
        ),
    ),
    "gpus": (
        Case("ok", "partition {f.name} has GPUs: {f.gpu_kinds} per node", lambda f: f.has_gpus),
        Case(
            "warn",
            "partition {f.name} has no GPU that Slurm hands out: everything trains on processors "
            "(hydra/launcher=slurm_cpu); sinfo -o '%P %G' shows which partition has some",
        ),
    ),
    "accounting": (
        Case(
            "ok", "accounts and limits are enforced ({f.enforced}): you may need hydra.launcher.account and qos",
            lambda f: "associations" in f.enforced or "limits" in f.enforced,
        ),
        Case("ok", "with an accounting database: the launcher needs none", lambda f: f.has_database),
        Case("ok", "without an accounting database: the launcher needs none"),
    ),
    "memory_limit": (
        Case("ok", "a task's memory is limited by cgroups", lambda f: f.limits_by_cgroup),
        Case("ok", "a task's memory is limited by sampling (OverMemoryKill)", lambda f: f.limits_by_sampling),
        Case(
            "warn",
            "nothing keeps a task to the memory it asked for (no task/cgroup, no OverMemoryKill): a pack that needs "
            "more takes other jobs, or the node, with it; state hydra.launcher.memory_gb below what a node has",
        ),
    ),
    "memory_counted": (
        Case("ok", "Slurm counts memory when it places tasks", lambda f: f.counts_memory),
        Case(
            "warn",
            "SelectTypeParameters does not count memory: tasks that together need more than a node has are placed on "
            "it; ask for as many processors as their memory is worth (hydra.launcher.cpus_per_task)",
        ),
    ),
    "nodes_up": (
        Case("problem", "partition {f.name} is {f.state}: nothing starts in it", lambda f: f.state != "UP"),
        Case(
            "problem", "{f.usable_of_all} can be used: tasks wait until an administrator brings some back (sinfo -R)",
            lambda f: f.usable == 0,
        ),
        Case("ok", "{f.usable_of_all} can be used (sinfo -R says why)", lambda f: f.usable == len(f.nodes)),
        Case("warn", "{f.usable_of_all} can be used (sinfo -R says why)"),
    ),
}  # fmt: skip
