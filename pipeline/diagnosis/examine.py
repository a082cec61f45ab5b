"""Every check that applies here, in order: of the cluster, of one of its nodes, of this machine."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from pipeline.diagnosis import cluster, cluster_checks, machine, machine_checks
from pipeline.diagnosis.check_result import CheckResult, judge
from pipeline.diagnosis.probe import probe
from pipeline.records.status import largest_sweep
from pipeline.slurm.squeue import NoAnswer


def examine(partition: str | None, sweeps_dir: Path, probing: bool, patience: float) -> Iterator[CheckResult]:
    """All results, as they come."""
    if cluster.has_slurm():
        yield from _of_the_cluster(partition, sweeps_dir, probing, patience)
    else:
        yield CheckResult("ok", "no Slurm on this machine (there is no scontrol): only the machine itself was checked")
    yield from machine_checks.results(machine.gather(sweeps_dir, ask_torch=False))


def _of_the_cluster(partition: str | None, sweeps_dir: Path, probing: bool, patience: float) -> Iterator[CheckResult]:
    try:
        facts = cluster.ask(partition, largest_sweep(sweeps_dir))
        for check in cluster_checks.CHECKS.values():
            yield judge(check, facts)
        if probing:
            yield from probe(facts, sweeps_dir, patience)
    except (NoAnswer, subprocess.TimeoutExpired) as error:
        advice = "is its controller up (scontrol ping), and is SLURM_CONF right?"
        yield CheckResult("problem", f"Slurm does not answer ({error}): {advice} What follows is of this machine alone")


def diagnose(partition: str | None, sweeps_dir: Path, probing: bool, patience: float) -> int:
    """Print every result, then their counts.

    Returns:
        The exit code: 1 where there is a problem.
    """
    counts = {"ok": 0, "warn": 0, "problem": 0}
    for result in examine(partition, sweeps_dir, probing, patience):
        print(result, flush=True)
        counts[result.level] += 1
    said = (
        f"{counts[kind]} {word}{'s' * (counts[kind] != 1)}"
        for kind, word in (("problem", "problem"), ("warn", "warning"))
    )
    print(f"{', '.join(said)}, {counts['ok']} in order")
    return 1 if counts["problem"] else 0
