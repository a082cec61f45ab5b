"""Each check on facts as scontrol prints them, with a good and with a bad value."""

import pytest

from pipeline.diagnosis.check_result import judge
from pipeline.diagnosis.cluster import ClusterFacts, records, seconds, settings
from pipeline.diagnosis.cluster_checks import CHECKS

CONFIG = """\
Configuration data as of 2026-11-24T08:00:00
AccountingStorageEnforce = none
AccountingStorageType   = accounting_storage/none
JobAcctGatherParams     = OverMemoryKill
JobRequeue              = 1
KillWait                = 30 sec
MaxArraySize            = 1001
MaxJobCount             = 10000
MinJobAge               = 300 sec
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
SelectTypeParameters    = CR_CPU_MEMORY
SlurmctldParameters     = preempt_send_user_signal
TaskPlugin              = task/none
Slurmctld(primary) at vm is UP
"""
PARTITION = "PartitionName=scavenge Default=NO GraceTime=120 MaxTime=7-00:00:00 PreemptMode=REQUEUE State=UP\n"
NODES = """\
NodeName=n1 Arch=x86_64 Gres=gpu:2 State=IDLE Partitions=scavenge
NodeName=n2 Arch=x86_64 Gres=gpu:2 State=MIXED+PLANNED Partitions=scavenge
"""


def facts(*changes: tuple[str, str], largest_sweep: int = 1500) -> ClusterFacts:
    texts = [CONFIG, PARTITION, NODES]
    for old, new in changes:
        assert any(old in text for text in texts), old
        texts = [text.replace(old, new) for text in texts]
    config, partition, nodes = texts
    return ClusterFacts(
        settings(config), records(partition, "PartitionName")[0], records(nodes, "NodeName"), largest_sweep
    )


BAD = [
    ("preemption", "problem", "cancelled", facts(("PreemptMode=REQUEUE", "PreemptMode=CANCEL"))),
    ("preemption", "problem", "suspended", facts(("PreemptMode=REQUEUE", "PreemptMode=SUSPEND,GANG"))),
    ("grace_time", "warn", "GraceTime=15", facts(("GraceTime=120", "GraceTime=15"))),
    ("user_signal", "warn", "SIGTERM", facts(("preempt_send_user_signal", "(null)"))),
    ("requeue", "warn", "--requeue", facts(("JobRequeue              = 1", "JobRequeue              = 0"))),
    ("array_size", "problem", "switched off", facts(("= 1001", "= 1"))),
    ("array_size", "warn", "150 arrays", facts(("= 1001", "= 11"))),
    ("job_count", "problem", "MaxJobCount=1000", facts(("= 10000", "= 1000"))),
    ("kill_wait", "warn", "KillWait=2 s", facts(("= 30 sec", "= 2 sec"))),
    ("job_age", "warn", "MinJobAge=5 s", facts(("= 300 sec", "= 5 sec"))),
    ("time_limit", "problem", "MaxTime=00:10:00", facts(("MaxTime=7-00:00:00", "MaxTime=00:10:00"))),
    ("gpus", "warn", "no GPU", facts(("Gres=gpu:2", "Gres=(null)"))),
    ("memory_limit", "warn", "memory_gb", facts(("OverMemoryKill", "(null)"))),
    ("memory_counted", "warn", "cpus_per_task", facts(("CR_CPU_MEMORY", "CR_CPU"))),
    ("nodes_up", "warn", "1 of 2", facts(("State=IDLE", "State=DOWN*"))),
    ("nodes_up", "problem", "0 of 2", facts(("State=IDLE", "State=IDLE+DRAIN"), ("MIXED+PLANNED", "IDLE*"))),
    ("nodes_up", "problem", "is DOWN", facts(("State=UP", "State=DOWN"))),
]


@pytest.mark.parametrize(("check", "level", "text", "bad"), BAD)
def test_a_bad_setting_is_found(check, level, text, bad):
    found = judge(CHECKS[check], bad)
    assert found.level == level and text in found.text, found
    assert "\n" not in str(found)


def test_every_check_is_silent_about_good_settings_and_has_a_bad_one():
    for check in CHECKS.values():
        assert judge(check, facts()).level == "ok", judge(check, facts())
    assert set(CHECKS) - {case[0] for case in BAD} == {"accounting"}


@pytest.mark.parametrize("change", [("PreemptMode=REQUEUE", "PreemptMode=OFF"), ("partition_prio", "none")])
def test_without_preemption_its_settings_do_not_matter(change):
    never = facts(change, ("GraceTime=120", "GraceTime=0"), ("preempt_send_user_signal", "(null)"))
    for check in ("preemption", "grace_time", "user_signal"):
        assert judge(CHECKS[check], never).level == "ok"


def test_accounting_is_told_but_never_wanted():
    assert "needs none" in judge(CHECKS["accounting"], facts()).text
    enforced = facts(("= none", "= associations,limits"))
    assert "hydra.launcher.account" in judge(CHECKS["accounting"], enforced).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("15", 15), ("30 sec", 30), ("10:00", 600), ("01:00:00", 3600), ("7-00:00:00", 604800), ("1-12", 129600)],
)
def test_durations(text, expected):
    assert seconds(text) == expected and seconds("UNLIMITED") == float("inf")
