"""Entry point: what to change before the first night is lost. `python pipeline/doctor.py --help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.cli.options import command, key_values, seconds, true_or_false
from pipeline.diagnosis import cluster, cluster_checks, machine
from pipeline.diagnosis.finding import Finding
from pipeline.diagnosis.probe import probe
from pipeline.records.status import largest_sweep
from pipeline.slurm.squeue import NoAnswer
from pipeline.storage.places import SWEEPS, door

USAGE = f"""\
usage: {door("doctor")} [partition=NAME] [probe=false] [sweeps_dir=FOLDER]

Reads the settings of the Slurm cluster and of this machine, runs a job of some seconds on a node, and says in one line
each what is, why it matters and what to do. Exit code 0: no problem was found; 1: there is one; 2: it could not look.

  partition=NAME         the partition that sweeps will use (default: the cluster's default)
  probe=false            submit no job: only settings are read
  probe_seconds=SECONDS  how long to wait for that job (default 120)
  sweeps_dir=FOLDER      where runs leave their records (default {SWEEPS})"""


def examine(partition: str | None, sweeps_dir: Path, probing: bool, patience: float) -> Iterator[Finding]:
    """All findings, as they come."""
    if cluster.has_slurm():
        yield from _of_the_cluster(partition, sweeps_dir, probing, patience)
    else:
        yield Finding("ok", "no Slurm on this machine (there is no scontrol): only the machine itself is looked at")
    yield from machine.findings(machine.gather(sweeps_dir, ask_torch=False))


def _of_the_cluster(partition: str | None, sweeps_dir: Path, probing: bool, patience: float) -> Iterator[Finding]:
    try:
        facts = cluster.ask(partition, largest_sweep(sweeps_dir))
        for check in cluster_checks.CHECKS:
            yield check(facts)
        if probing:
            yield from probe(facts, sweeps_dir, patience)
    except (NoAnswer, subprocess.TimeoutExpired) as error:
        advice = "is its controller up (scontrol ping), and is SLURM_CONF right?"
        yield Finding("problem", f"Slurm does not answer ({error}): {advice} What follows is of this machine alone")


def diagnose(arguments: Sequence[str]) -> int:
    given = key_values(arguments, ("partition", "probe", "probe_seconds", "sweeps_dir"))
    sweeps_dir = Path(given.get("sweeps_dir", SWEEPS))
    probing = true_or_false("probe", given.get("probe", "true"))
    patience = seconds("probe_seconds", given.get("probe_seconds", "120"))
    counts = {"ok": 0, "warn": 0, "problem": 0}
    for finding in examine(given.get("partition"), sweeps_dir, probing, patience):
        print(finding, flush=True)
        counts[finding.level] += 1
    print(f"{counts['problem']} problems, {counts['warn']} warnings, {counts['ok']} in order")
    return 1 if counts["problem"] else 0


def main(arguments: Sequence[str] | None = None) -> int:
    return command(diagnose, USAGE, arguments)


if __name__ == "__main__":
    sys.exit(main())
