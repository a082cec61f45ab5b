"""`make storm`: a sweep on a test cluster where everything happens, compared with the same sweep left in peace.

24 runs of the bundled model in 8 tasks on 4 nodes. Two nodes are pre-empted, one dies, one is drained, the controller
is away for 20 s, and the launcher is killed and started again. Then every record must be there once, no run may have
gone back behind a checkpoint, and all bytes must be those of an undisturbed run here with another number of threads.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.launching.sweeps import RUN, SAME, content, tasks
from tests.slurm.cluster import Cluster, ClusterError, why_not
from tests.slurm.slurm_conf import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
SWEEP = [
    "sweep_name=tiny", "architecture=baseline,gated", "sparsity_coefficient=2,4,8", "site=mlp_out,resid_post",
    "seed=0,1", "train.steps=600", "train.batch=128", "train.lr_warmup=50", "train.block=8192",
    "train.calibration=4096", "eval.sequences=16",
]  # fmt: skip
SLURM = [
    "hydra/launcher=slurm_scavenge", "hydra.launcher.gpus_per_node=null", "hydra.launcher.memory_gb=null",
    "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=3", "hydra.launcher.runs_per_pack=3",
    "hydra.launcher.poll_seconds=2", "hydra.launcher.settle_seconds=20", "execution.checkpoint_seconds=2",
]  # fmt: skip
RUNS, TASKS, NODES = 24, 8, 4


class Storm:
    """The cluster, the launcher, and what is done to them."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.begun = time.monotonic()
        self.launcher = self.launch()

    def launch(self) -> subprocess.Popen[bytes]:
        command = [*RUN, *SWEEP, *SLURM, f"execution.sweeps_dir={self.folder}"]
        environment = os.environ | self.cluster.environment | {"PYTHONPATH": str(ROOT)}
        log = (self.folder.parent / "launcher.log").open("ab")
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def say(self, message: str) -> None:
        print(f"{time.monotonic() - self.begun:5.0f} s  {message}", flush=True)

    def busy(self) -> dict[str, list[str]]:
        """Runs that train now and have a checkpoint, by node."""
        try:
            rows = self.cluster.run("squeue", "-h", "-r", "-t", "R", "-n", self.job_name(), "-o", "%i %N").splitlines()
        except ClusterError:
            return {}
        nodes = dict(row.split() for row in rows if len(row.split()) == 2)
        found: dict[str, list[str]] = {}
        for task in tasks(self.folder):
            runs = [r for r in task["runs"] if list((self.folder / "runs" / r / "checkpoints").glob("*.json"))]
            if task["job_id"] in nodes and task["ended"] is None and runs:
                found.setdefault(nodes[task["job_id"]], []).extend(runs)
        return found

    def job_name(self) -> str:
        names = self.cluster.run("squeue", "-h", "-o", "%j").splitlines()
        return next((name for name in names if name.startswith("sae-")), "none")

    def strike(self, what: str, how: Callable[[str], object], but: set[str]) -> str:
        """Do something to a node that trains runs, and say which."""
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and self.launcher.poll() is None:
            for node, runs in self.busy().items():
                if node not in but:
                    self.say(f"{what} {node}, which trains {', '.join(runs)}")
                    how(node)
                    return node
            time.sleep(0.5)
        raise ClusterError(f"no node left that trains: the storm came too late for '{what}'")

    def preempt(self, node: str) -> None:
        self.cluster.run("sbatch", "-p", "urgent", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")

    def is_resumed(self, node: str) -> bool:
        """A controller that has just come back refuses to resume a node that it has not heard of yet."""
        with suppress(ClusterError):
            self.cluster.resume(node)
        return self.cluster.node_state(node).rstrip("*") in {"IDLE", "MIXED", "ALLOCATED", "COMPLETING"}

    def rage(self) -> None:
        """All of it, one after the other."""
        first = self.strike("pre-empting", self.preempt, set())
        dead = self.strike("killing", self.cluster.kill_node, {first})
        time.sleep(5)
        drained = self.strike("draining", self.cluster.drain, {first, dead})
        self.say(
            f"killing the launcher, process {self.launcher.pid}, with {len(tasks(self.folder))} tasks in its table"
        )
        self.launcher.send_signal(signal.SIGKILL)
        self.launcher.wait()
        self.say(f"the controller goes; {', '.join(r for runs in self.busy().values() for r in runs)} train on")
        self.cluster.stop_controller()
        self.launcher = self.launch()
        time.sleep(20)
        self.cluster.start_controller()
        self.say("the controller is back")
        self.cluster.start_node(dead)
        self.cluster.wait_for(lambda: self.is_resumed(drained))
        self.strike("pre-empting", self.preempt, {first, dead})


def findings(folder: Path, quiet: Path) -> list[str]:
    """What is not as it should be."""
    wrong = []
    names = sorted(path.name for path in (quiet / "runs").iterdir())
    found = sorted(path.name for path in (folder / "runs").iterdir())
    if names != found or len(names) != RUNS:
        wrong.append(f"{len(found)} runs after the storm, {len(names)} in peace, {RUNS} wanted")
    for name in found:
        log = (folder / "runs" / name / "log.txt").read_text()
        if log.count(": recorded") != 1:
            wrong.append(f"{name} was recorded {log.count(': recorded')} times")
        wrong += [f"{name} {step}" for step in went_back(log)]
        for file in SAME:
            one, other = (place / "runs" / name / file for place in (folder, quiet))
            if not one.is_file() or content(one) != content(other):
                wrong.append(f"{name}/{file} is not that of the run in peace")
    started = tasks(folder)
    if len(started) < TASKS or any(task["ended"] is None for task in started):
        wrong.append(f"{len(started)} tasks, of which {sum(t['ended'] is None for t in started)} have no end")
    return wrong


def went_back(log: str) -> list[str]:
    """Beginnings of a run that lie behind a checkpoint it had."""
    saved, back = 0, []
    for what, number in re.findall(r"(begins|checkpoint) at step ([\d,]+)", log):
        step = int(number.replace(",", ""))
        if what == "begins" and step < saved:
            back.append(f"began at step {step} although it was saved at {saved}")
        saved = max(saved, step)
    return back


def main() -> int:
    reason = why_not()
    if reason:
        print(f"storm: cannot be run: {reason}")
        return 1
    with tempfile.TemporaryDirectory(prefix="storm-") as name:
        folder, quiet = Path(name, "storm"), Path(name, "peace")
        folder.mkdir()
        try:
            with Cluster.up(Settings(nodes=NODES, cpus=1, memory_mb=4000)) as cluster:
                storm = Storm(cluster, folder)
                storm.rage()
                code = storm.launcher.wait(timeout=1500)
                storm.say(f"the launcher ended with code {code}")
        except (ClusterError, subprocess.TimeoutExpired) as error:
            print(Path(name, "launcher.log").read_text()[-4000:])
            print(f"storm: broken off: {error}")
            return 1
        started = tasks(folder)
        begun = sum((p / "log.txt").read_text().count("begins at step") for p in (folder / "runs").iterdir())
        print("the same sweep in peace, here, with two threads", flush=True)
        peace = [*RUN, *SWEEP, f"execution.sweeps_dir={quiet}", "execution.threads=2"]
        subprocess.run(peace, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wrong = findings(folder, quiet)
        if wrong or code:
            print(Path(name, "launcher.log").read_text()[-4000:], *wrong, sep="\n")
            print(f"storm: NOT survived: launcher's exit code {code}, {len(wrong)} findings above")
            return 1
        print(
            f"storm: survived: {RUNS} runs in {len(started)} tasks on {NODES} nodes, begun {begun} times, each "
            "recorded once, none behind its checkpoint, all bytes those of the undisturbed sweep"
        )
        return 0


if __name__ == "__main__":
    sys.exit(main())
