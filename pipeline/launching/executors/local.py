"""Tasks on this machine: each pack in a process of its own, in one of several slots."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.activations.block_cache import SharingGroup
from pipeline.config.launcher import LocalOptions
from pipeline.config.schema import Execution, Job, RunConfig
from pipeline.launching import slots
from pipeline.launching.block_sharing import forget_blocks, sharing_groups
from pipeline.launching.executors.base import Executor
from pipeline.launching.exit_reason import by_signal
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
from pipeline.launching.worker import STOPPED, USERS_TO_FIX
from pipeline.monitoring.progress import Progress
from pipeline.runtime.device import threads_each
from pipeline.storage.files import append_line
from pipeline.storage.layout import LOGS, OUTCOMES
from pipeline.storage.lease import process_start
from pipeline.storage.places import python_path


class LocalProcesses(Executor):
    """A pool: each slot runs one task at a time in a process that sees its own GPU and its share of the cores."""

    def __init__(self, options: LocalOptions, execution: Execution, runs: Sequence[RunConfig]) -> None:
        count = options.slots or slots.slots_for(runs, execution)
        super().__init__(options, slots.capacity(options, execution, count), at_once=count, most_at_once=count)
        gpus: list[str | None] = [*slots.gpus(execution)] or [None]
        self.free = [gpus[slot % len(gpus)] for slot in range(count)]
        """The GPU of each free slot, or None."""
        self.running: dict[int, tuple[subprocess.Popen[bytes], str | None]] = {}

    def execution(self, job: Job) -> Execution:
        """The job's circumstances, with the number of threads of one slot."""
        return replace(job.execution, threads=threads_each(job.execution, self.at_once))

    def poll(self) -> None:
        for task in self.table.where(lambda t: t.task in self.running):  # including those whose runs all have records
            self._reap(task)
        if not self.running:
            forget_blocks(self.table.folder)
        starting = self.table.where(lambda t: t.state == WAITING)[: len(self.free)]
        groups = sharing_groups(self.table, starting)
        for task in starting:
            self._start(task, self.free.pop(0), groups.get(task.task))

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
        elif code == USERS_TO_FIX:  # its outcome says more, unless the disk is full or read-only
            task.state, task.reason = CANCELLED, "a setting, a file or the disk stopped it"
        else:
            task.state, task.reason = FAILED, f"exit code {code}"

    def _start(self, task: Task, slot: str | None, group: SharingGroup | None) -> None:
        folder = self.table.folder
        log = folder / LOGS / f"task-{task.task}.log"
        append_line(log, f"task {task.task}, pack {task.pack}")
        threads = str(self.table.pack(task.pack).execution.threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} | python_path()
        if slot is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot
        pack, outcome = str(folder / task.pack), str(self._outcome_file(task))
        command = [sys.executable, "-u", "-m", "pipeline.launching.worker", pack, outcome]
        if group:
            command += ["--sharing", json.dumps(asdict(group))]
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
        return self.table.folder / OUTCOMES / f"task-{task.task}.json"

    def outcome(self, task: Task) -> Outcome | None:
        return read_outcome(self._outcome_file(task))

    def stop(self) -> None:
        """Pass the stop on, and wait until all have saved. Another Ctrl-C kills them at once."""
        for process, _ in self.running.values():
            process.terminate()
        try:
            for process, _ in self.running.values():
                process.wait()
        finally:
            for process, _ in self.running.values():
                process.kill()
            forget_blocks(self.table.folder)
        for task in self.table.open:
            self.table.end(task, CANCELLED, "stopped")
        self.table.save()

    def finish(self) -> None:
        """Wait for the processes: they end soon, since their runs all have records."""
        for process, _ in self.running.values():
            process.wait()
        forget_blocks(self.table.folder)


def end_orphans(table: TaskTable, progress: Progress, seconds: float = 60.0) -> None:
    """End the local tasks of a launcher that was killed, and wait for its processes, which were told to stop."""
    tasks = table.where(lambda t: t.ended is None and t.executor == "local")
    deadline = time.monotonic() + seconds
    for task in tasks:
        pid = int(task.job_id or 0)
        if pid and pid != os.getpid() and _is_worker(pid, table.folder / task.pack):
            progress.say(f"waiting for process {pid} of the previous launch: it saves and ends")
            while process_start(pid) and time.monotonic() < deadline:
                time.sleep(0.2)
        table.end(task, CANCELLED, "its launcher was killed")


def _is_worker(pid: int, pack: Path) -> bool:
    try:
        return str(pack).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
