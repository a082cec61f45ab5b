"""Tasks on this machine: packs in processes of their own with a slot each; a single run in this very process."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pipeline.config import REPOSITORY, Execution, Job, RunConfig
from pipeline.cost import block_bytes, encoder_flops, memory, runs_worth_a_process
from pipeline.disk import exchange_bytes
from pipeline.errors import Interrupted, UserError
from pipeline.execution import available_cores, choose_device, threads_each
from pipeline.identity import pack_identity
from pipeline.launching.deaths import by_signal
from pipeline.launching.options import LocalOptions
from pipeline.launching.packing import MOST, Room, machine_memory
from pipeline.launching.tasks import (
    CANCELLED,
    COMPLETED,
    FAILED,
    LOST,
    RUNNING,
    WAITING,
    Outcome,
    Task,
    TaskTable,
    read_outcome,
)
from pipeline.launching.worker import STOPPED, USERS_TO_MEND
from pipeline.lease import process_start
from pipeline.pack.exchange import Circle
from pipeline.progress import Progress
from pipeline.signals import StopFlag

SPARE = 0.9
"""Share of a machine's memory that packs may take."""
BLOCKS = "blocks"
"""Folder, beside a sweep's table of tasks, in which processes exchange blocks; empty when none runs."""
SMALL_STEP = 1e9
"""Floating-point operations of an encoder's product up to which a core for each process is assumed to do more than
threads. Measured at 1.3e8 alone (docs/measurements.md)."""


def gpus(execution: Execution) -> list[str]:
    """Names of the GPUs that CUDA_VISIBLE_DEVICES leaves us; none when `execution.device` names one device."""
    if execution.device not in {"auto", "cuda"} or choose_device(execution).type != "cuda":
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return [name.strip() for name in names][: torch.cuda.device_count()]


def slots_for(runs: Sequence[RunConfig], execution: Execution) -> int:
    """How many packs at once where nobody says: one for each GPU, or on a CPU as many as its cores are worth.

    Small steps leave threads waiting for one another: processes of one core each get more out of the same cores.
    """
    if choose_device(execution).type != "cpu":
        return max(1, len(gpus(execution)))
    if not runs or max(encoder_flops(run) for run in runs) > SMALL_STEP:
        return 1
    worth_it = max(len(runs) // runs_worth_a_process(runs), -(-len(runs) // MOST))  # so many packs there are anyway
    count = max(1, min(available_cores() // (execution.threads or 1), worth_it))
    heaviest = sorted(runs, key=lambda run: memory([run]), reverse=True)
    while count > 1 and count * memory(heaviest[: -(-len(runs) // count)]) > SPARE * machine_memory():
        count -= 1
    return count


def room(options: LocalOptions, execution: Execution, slots: int) -> Room:
    """What one pack may take here."""
    device = choose_device(execution).type
    if options.memory_gb is not None:
        return Room(options.memory_gb * 1e9, device, options.runs_per_pack)
    if device == "cuda":
        import torch

        total = torch.cuda.get_device_properties(choose_device(execution)).total_memory
        return Room(SPARE * total / -(-slots // max(1, len(gpus(execution)))), device, options.runs_per_pack)
    return Room(SPARE * machine_memory() / slots, device, options.runs_per_pack)


class ThisProcess:
    """One task after the other in this process: what a single run needs."""

    name, settle_seconds = "local", 0.0

    def __init__(self, table: TaskTable, progress: Progress, stop: StopFlag) -> None:
        self.table, self.progress, self.stopped = table, progress, stop
        self._outcomes: dict[int, Outcome] = {}

    def execution(self, job: Job) -> Execution:
        return job.execution

    def poll(self) -> None:
        """Train the next waiting task to its end."""
        from pipeline.pack import Pack  # imports the language model's libraries

        task = self.table.where(lambda t: t.state == WAITING)[0]
        task.state, task.job_id, task.submitted = RUNNING, str(os.getpid()), time.time()
        self.table.save()
        pack = self.table.pack(task.pack)
        try:
            Pack(pack.runs, pack.execution, self.progress, self.stopped, tracker=pack.tracker).execute()
        except Interrupted:
            self.table.end(task, CANCELLED, "stopped")
            raise
        except Exception as error:
            task.state = FAILED
            self._outcomes[task.task] = Outcome(type(error).__name__, str(error), isinstance(error, UserError))
        else:
            task.state = COMPLETED

    def outcome(self, task: Task) -> Outcome | None:
        return self._outcomes.get(task.task)

    def stop(self) -> None:
        """Nothing runs beside this process."""

    def finish(self) -> None:
        """Nothing runs beside this process."""


@dataclass
class Processes:
    """A pool: each slot runs one task at a time in a process that sees its own GPU and its share of the cores."""

    table: TaskTable
    progress: Progress
    slots: Sequence[str | None]  # the GPU of each slot, or None
    free: list[str | None] = field(init=False)
    running: dict[int, tuple[subprocess.Popen[bytes], str | None]] = field(default_factory=dict)
    name: str = "local"
    settle_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.free = list(self.slots)

    def execution(self, job: Job) -> Execution:
        """The job's circumstances with this slot's threads, and with its GPU under the name it has there."""
        return replace(job.execution, threads=threads_each(job.execution, len(self.slots)))

    def poll(self) -> None:
        for task in self.table.where(lambda t: t.task in self.running):  # also those whose runs are all recorded
            self._reap(task)
        if not self.running:
            self._forget_blocks()
        starting = self.table.where(lambda t: t.state == WAITING)[: len(self.free)]
        circles = self._circles(starting)
        for task in starting:
            self._start(task, self.free.pop(0), circles.get(task.task))

    def _reap(self, task: Task) -> None:
        process, slot = self.running[task.task]
        code = process.poll()
        if code is None:
            return
        del self.running[task.task]
        self.free.append(slot)
        if task.ended is not None:
            return
        if code == 0:
            task.state = COMPLETED
        elif code < 0:
            task.state, task.reason = FAILED, by_signal(-code)
        elif code == STOPPED:
            task.state, task.reason = LOST, "its process was told to stop"
        elif code == USERS_TO_MEND:  # its outcome says more, unless the disk is what is wrong
            task.state, task.reason = CANCELLED, "a setting, a file or the disk stopped it"
        else:
            task.state, task.reason = FAILED, f"exit code {code}"

    def _circles(self, starting: Sequence[Task]) -> dict[int, Circle]:
        """By task: those that start together on one stream exchange its blocks, where memory and disk have room."""
        packs = {task.task: self.table.pack(task.pack).runs for task in starting}
        streams: dict[str, list[int]] = {}
        for number, runs in packs.items():
            streams.setdefault(pack_identity(runs[0]), []).append(number)
        circles: dict[int, Circle] = {}
        for numbers in streams.values():
            runs = [run for number in numbers for run in packs[number]]
            more = 2 * sum(block_bytes(runs) - block_bytes(packs[number]) for number in numbers)
            held = exchange_bytes([packs[number] for number in numbers])
            in_memory = sum(memory(packs[number]) for number in numbers) + more
            enough = in_memory < SPARE * machine_memory() and held < shutil.disk_usage(self.table.folder).free / 2
            if len(numbers) > 1 and enough:
                folder, hooks = self.table.folder / BLOCKS / str(numbers[0]), sorted({run.hook_name for run in runs})
                for place, number in enumerate(numbers):
                    circles[number] = Circle(str(folder), place, len(numbers), tuple(hooks))
        return circles

    def _start(self, task: Task, slot: str | None, circle: Circle | None) -> None:
        folder = self.table.folder
        log = folder / "logs" / f"task-{task.task}.log"
        log.parent.mkdir(exist_ok=True)
        threads = str(self.table.pack(task.pack).execution.threads)
        path = os.pathsep.join(p for p in (str(REPOSITORY), os.environ.get("PYTHONPATH")) if p)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONPATH": path}
        if slot is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot
        pack, outcome = str(folder / task.pack), str(self._outcome_file(task))
        command = [sys.executable, "-u", "-m", "pipeline.launching.worker", pack, outcome]
        if circle:
            command += ["--circle", json.dumps(asdict(circle))]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self.running[task.task] = (process, slot)
        task.state, task.job_id, task.log, task.submitted = RUNNING, str(process.pid), str(log), time.time()
        count = f"{len(task.runs)} runs from one activation stream" if len(task.runs) > 1 else task.runs[0]
        self.progress.say(f"task {task.task}: {count}, in process {process.pid} (log: {log})")

    def _outcome_file(self, task: Task) -> Path:
        return self.table.folder / "outcomes" / f"task-{task.task}.json"

    def outcome(self, task: Task) -> Outcome | None:
        return read_outcome(self._outcome_file(task))

    def stop(self) -> None:
        """Hand the stop on, and wait until all have saved; a further Ctrl-C ends the waiting and them."""
        for process, _ in self.running.values():
            process.terminate()
        try:
            for process, _ in self.running.values():
                process.wait()
        finally:
            for process, _ in self.running.values():
                process.kill()
            self._forget_blocks()
        for task in self.table.open:
            self.table.end(task, CANCELLED, "stopped")
        self.table.save()

    def finish(self) -> None:
        """Wait for processes whose runs are all recorded."""
        for process, _ in self.running.values():
            process.wait()
        self._forget_blocks()

    def _forget_blocks(self) -> None:
        """None is left that exchanges them."""
        shutil.rmtree(self.table.folder / BLOCKS, ignore_errors=True)


def end_orphans(table: TaskTable, progress: Progress, seconds: float = 60.0) -> None:
    """Close the local tasks of a launcher that was killed; its processes were told so, and are waited for."""
    tasks = table.where(lambda t: t.ended is None and t.executor == "local")
    deadline = time.monotonic() + seconds
    for task in tasks:
        pid = int(task.job_id or 0)
        if pid and pid != os.getpid() and _is_worker(pid, table.folder / task.pack):
            progress.say(f"waiting for process {pid} of the launch before this one: it saves and ends")
            while process_start(pid) and time.monotonic() < deadline:
                time.sleep(0.2)
        table.end(task, CANCELLED, "its launcher was killed")


def _is_worker(pid: int, pack: Path) -> bool:
    try:
        return str(pack).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
