"""The command line of tests.slurm.cluster."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.slurm.cluster import PACKAGES, PATH, Cluster, ClusterError, why_not
from tests.slurm.slurm_conf import Settings

DEFAULT = Path(tempfile.gettempdir()) / "slurm-test-cluster"
ON_NODES = {
    "kill": Cluster.kill_node, "partition": Cluster.partition_node, "start": Cluster.start_node,
    "drain": Cluster.drain, "resume": Cluster.resume,
}  # fmt: skip
ON_CLUSTERS = {
    "down": Cluster.down, "stop-controller": Cluster.stop_controller, "start-controller": Cluster.start_controller,
}  # fmt: skip


def main() -> None:
    arguments = parser().parse_args()
    try:
        if arguments.what == "install":
            install()
        elif arguments.what == "up":
            up(arguments)
        elif arguments.what in ON_NODES:
            ON_NODES[arguments.what](Cluster(arguments.folder), arguments.node)
        else:
            ON_CLUSTERS[arguments.what](Cluster(arguments.folder))
    except ClusterError as error:
        sys.exit(f"error: {error}")
    except FileNotFoundError:
        sys.exit(f"error: no cluster in {arguments.folder}: python -m tests.slurm.cluster up")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m tests.slurm.cluster", description="A real Slurm on this machine.")
    commands = whole.add_subparsers(dest="what", required=True)
    commands.add_parser("install", help="install the Debian packages that are missing (as root)")
    for name in ("up", *ON_NODES, *ON_CLUSTERS):
        command = commands.add_parser(name)
        command.add_argument("--folder", type=Path, default=DEFAULT, help=f"where the cluster lives ({DEFAULT})")
        if name in ON_NODES:
            command.add_argument("node")
    start = commands.choices["up"]
    for name in ("nodes", "cpus", "memory_mb", "gpus"):
        start.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Settings(), name))
    start.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="lines of slurm.conf")
    start.add_argument("--partition", nargs="*", default=[], metavar="NAME=OPTIONS")
    return whole


def up(arguments: argparse.Namespace) -> None:
    """Start a cluster and print the line that makes a shell use it."""
    conf, partitions = (dict(pair.split("=", 1) for pair in pairs) for pairs in (arguments.set, arguments.partition))
    settings = Settings(arguments.nodes, arguments.cpus, arguments.memory_mb, arguments.gpus, conf, partitions)
    if (arguments.folder / "settings.json").exists():
        raise ClusterError(f"there is a cluster in {arguments.folder}: python -m tests.slurm.cluster down")
    cluster = Cluster.up(settings, arguments.folder)
    print(f"export SLURM_CONF={cluster.conf}")


def install() -> None:
    """What is missing, from Debian; no daemon is started with a configuration that is not there yet."""
    if why_not() is None:
        return
    if os.geteuid():
        sys.exit(f"error: not root: sudo apt-get install {' '.join(PACKAGES)}")
    policy = Path("/usr/sbin/policy-rc.d")
    made = not policy.exists()
    if made:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": PATH}
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    try:
        subprocess.run([*apt, "update"], check=True, env=environment)
        subprocess.run([*apt, "install", "-y", "--no-install-recommends", *PACKAGES], check=True, env=environment)
    finally:
        if made:
            policy.unlink()
