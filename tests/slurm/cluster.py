"""A real Slurm of several virtual nodes on this machine, in a folder of its own, for tests.

Needs root and Debian's or Ubuntu's packages (`python -m tests.slurm.cluster install`), no systemd, and nothing beyond
the standard library. Several clusters run beside each other. By hand:

    eval "$(python -m tests.slurm.cluster up)"     # sets SLURM_CONF: sinfo, sbatch and all others mean this cluster
    python -m tests.slurm.cluster kill n2          # as if it lost power; also start, drain, resume, partition n2
    python -m tests.slurm.cluster stop-controller  # and start-controller
    python -m tests.slurm.cluster down             # stops everything by process id and deletes the folder
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.slurm import processes
from tests.slurm.slurm_conf import Settings, gres_conf, slurm_conf

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class ClusterError(Exception):
    """The cluster did not come up, or a node or controller did not do what it was told."""


def why_not() -> str | None:
    """Why no cluster can be had on this machine; None where it can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"no {', '.join(missing)} here: as root, python -m tests.slurm.cluster install"
    return None if os.geteuid() == 0 else "a test cluster needs root: slurmd starts jobs as their users"


class Cluster:
    """A running cluster; `Cluster.up()` starts one, `Cluster(folder)` finds one that was started before.

    with Cluster.up(Settings(nodes=2, conf={"JobRequeue": "0"})) as cluster:
        cluster.run("sbatch", "--wrap", "hostname")
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "etc" / "slurm.conf"
        self.settings = Settings(**json.loads((folder / "settings.json").read_text()))
        self.environment = {"SLURM_CONF": str(self.conf)}

    @classmethod
    def up(cls, settings: Settings | None = None, folder: Path | None = None, seconds: float = 60) -> "Cluster":
        """Start a cluster and wait until every node is idle.

        Args:
            folder: where it keeps everything, which must not exist; a temporary folder by default.

        Raises:
            ClusterError: it does not come up; the message ends with the daemons' last lines.
        """
        reason = why_not()
        if reason:
            raise ClusterError(reason)
        settings = settings or Settings()
        folder = Path(tempfile.mkdtemp(prefix="slurm-")) if folder is None else folder.resolve()
        _lay_out(folder, settings)
        cluster = cls(folder)
        try:
            cluster.start_munge()
            cluster.start_controller()
            for node in settings.node_names:
                cluster.start_node(node, wait=False)
            cluster.wait_for(lambda: all(cluster.node_state(n) == "IDLE" for n in settings.node_names), seconds)
        except BaseException as error:
            tail = cluster.last_lines()
            cluster.down()
            if isinstance(error, ClusterError):
                raise ClusterError(f"{error}\n{tail}") from error
            raise
        return cluster

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # ------------------------------------------------------------------------------------------------------- commands

    def run(self, *command: str, check: bool = True, timeout: float = 60, **options: Any) -> str:
        """What a command prints, run as a user of this cluster; with check=False also what it says on stderr."""
        environment = os.environ | self.environment | {"PATH": PATH}
        done = subprocess.run(
            command, env=environment, text=True, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True,
            **options,
        )  # fmt: skip
        if check and done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip() if check else (done.stdout + done.stderr).strip()

    def job_state(self, job: str) -> str:
        return self.run("squeue", "-h", "-r", "-t", "all", "-o", "%T", "-j", job, check=False)

    def node_state(self, node: str) -> str:
        """IDLE, MIXED, DOWN*, IDLE+DRAIN, ...; * means that the node does not answer. sinfo is often behind."""
        _, _, state = self.run("scontrol", "-o", "show", "node", node, check=False).partition(" State=")
        return state.partition(" ")[0]

    def wait_for(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise ClusterError(f"not so after {seconds:g} s: {self.run('sinfo', '-N', check=False)}")
            time.sleep(0.1)

    # ------------------------------------------------------------------------------------------- breaking and mending

    def kill_node(self, node: str) -> None:
        """As if it lost power: slurmd, its job steps and their processes die at once. Slurm notices after ~30 s."""
        self._kill(f"slurmd.{node}", "slurmd", signal.SIGKILL)
        processes.kill_node(self.conf, node)
        for left in (self.folder / "spool" / node).glob("*"):
            # a job that comes back to the node and finds its own old files is "launch failed requeued held"
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def partition_node(self, node: str) -> None:
        """As if the network went: slurmd dies, the jobs' processes go on."""
        self._kill(f"slurmd.{node}", "slurmd", signal.SIGKILL)

    def start_node(self, node: str, wait: bool = True) -> None:
        (self.folder / "spool" / node).mkdir(exist_ok=True)
        # slurmd hands its environment to the processes that guard job steps: of_node knows them by it
        self._start("slurmd", "-N", node, "-f", str(self.conf), SLURMD_NODENAME=node)
        if wait:
            self.wait_for(lambda: not re.match(r"$|UNKNOWN|DOWN|.*\*", self.node_state(node)))

    def drain(self, node: str) -> None:
        self.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")

    def resume(self, node: str) -> None:
        self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def stop_controller(self) -> None:
        self._kill("slurmctld", "slurmctld", signal.SIGTERM)

    def start_controller(self) -> None:
        self._start("slurmctld", "-f", str(self.conf))
        self.wait_for(lambda: "is UP" in self.run("scontrol", "ping", check=False), 30)

    def start_munge(self) -> None:
        """An own munge with its own key: one that the machine may have is left alone."""
        munge = self.folder / "munge"
        files = [f"--{key}={munge / name}" for key, name in (
            ("socket", "munge.sock"), ("key-file", "munge.key"), ("pid-file", "munged.pid"), ("log-file", "munged.log"),
            ("seed-file", "munged.seed"),
        )]  # fmt: skip
        self._start("munged", "--force", *files, user="munge", group="munge", extra_groups=[])

    def down(self) -> None:
        """Cancel what runs, stop every daemon by its process id, kill what is left, and delete the folder."""
        with contextlib.suppress(ClusterError, subprocess.TimeoutExpired):
            if processes.alive(self._pid_file("slurmctld"), "slurmctld", self.folder):
                self.run("scancel", "--full", "--signal=KILL", "--user=root", timeout=10)
                self.run("scancel", "--user=root", timeout=10)
                self.wait_for(lambda: not self.run("squeue", "-h", "-o", "%i", check=False, timeout=10), 5)
        for node in self.settings.node_names:
            self._kill(f"slurmd.{node}", "slurmd", signal.SIGTERM, wait=False)
        for node in self.settings.node_names:
            self._kill(f"slurmd.{node}", "slurmd", signal.SIGTERM)
        self._kill("slurmctld", "slurmctld", signal.SIGTERM)
        self._kill("munged", "munged", signal.SIGTERM)
        for node in self.settings.node_names:
            processes.kill_node(self.conf, node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def last_lines(self) -> str:
        logs = sorted(self.folder.glob("log/*.log"))
        return "\n".join(f"{log.name}: {line}" for log in logs for line in log.read_text().splitlines()[-3:])

    # -------------------------------------------------------------------------------------------------------- daemons

    def _pid_file(self, daemon: str) -> Path:
        return self.folder / ("munge" if daemon == "munged" else "run") / f"{daemon}.pid"

    def _start(self, *command: str, user: str | None = None, **more: Any) -> None:
        """Run a program that puts itself into the background, out of any other cluster's environment."""
        own = {key: more.pop(key) for key in list(more) if key.isupper()}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
        done = subprocess.run(
            command, env=environment | self.environment | {"PATH": PATH} | own, user=user, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=(self.folder / "log" / "start.log").open("a"), timeout=60, **more,
        )  # fmt: skip
        if done.returncode:
            raise ClusterError(f"{' '.join(command)} failed with code {done.returncode}")

    def _kill(self, daemon: str, program: str, number: signal.Signals, wait: bool = True) -> None:
        processes.stop(self._pid_file(daemon), program, self.folder, number, wait)


def _lay_out(folder: Path, settings: Settings) -> None:
    """Folders, keys, fake devices and configuration."""
    for name in ("etc", "run", "log", "state", "spool", "dev", "munge"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "settings.json").write_text(json.dumps(settings.plain()))
    key = folder / "munge" / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for path in (key, key.parent):
        shutil.chown(path, "munge", "munge")
    key.parent.chmod(0o711)
    for number in range(settings.gpus):  # slurmd insists on character devices
        _device(folder / "dev" / f"gpu{number}", number)
    conf = slurm_conf(settings, folder, _free_ports(settings.nodes + 1), socket.gethostname().partition(".")[0])
    (folder / "etc" / "slurm.conf").write_text(conf)
    (folder / "etc" / "gres.conf").write_text(gres_conf(settings, folder))


def _device(path: Path, number: int) -> None:
    try:
        os.mknod(path, 0o020666, os.makedev(1, 3))
    except PermissionError:  # a container without CAP_MKNOD: borrow harmless devices
        path.symlink_to(("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")[number])


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on, below those that the kernel gives to clients."""
    for _ in range(100):
        first = random.randrange(20000, 32000 - count)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise ClusterError("no free ports between 20000 and 32000")


if __name__ == "__main__":
    from tests.slurm.command import main

    main()
