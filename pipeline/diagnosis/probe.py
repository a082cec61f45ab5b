"""A job of a minute that says what a node is like: it gathers the machine's facts there, into the sweeps' folder."""

import dataclasses
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.diagnosis.check_result import CheckResult
from pipeline.diagnosis.cluster import ClusterFacts
from pipeline.diagnosis.machine import MachineFacts, gather
from pipeline.diagnosis.machine_checks import results
from pipeline.slurm import squeue

FOLDER = ".doctor"
POLL_SECONDS = 0.5
SETTLE_SECONDS = 20.0
"""A file may appear on a shared disk so long after its job has ended."""


def probe(facts: ClusterFacts, sweeps_dir: Path, patience: float) -> Iterator[CheckResult]:
    """Submit the job, wait for its answer, and judge it; the job and its files are gone afterwards."""
    folder = sweeps_dir.absolute() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield CheckResult("problem", f"no probe job: {folder} cannot be created ({error.strerror})")
        return
    stem = folder / f"probe-{time.time_ns()}"
    answer, log = stem.with_suffix(".json"), stem.with_suffix(".log")
    try:
        submitted = _submit(facts, answer, log)
        if submitted.returncode:
            yield CheckResult(
                "problem", f"a probe job is refused: {_last(submitted.stderr)}: correct that, or partition="
            )
            return
        yield from _judge(submitted.stdout.strip().partition(";")[0], answer, log, patience)
    finally:
        for path in (answer, log):
            path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()


def _submit(facts: ClusterFacts, answer: Path, log: Path) -> subprocess.CompletedProcess[str]:
    # from the root folder: `pipeline` must be found as an installed package, as in a sweep's tasks
    python = [sys.executable, "-m", "pipeline.diagnosis.probe", str(answer), str(answer.parent.parent)]
    gpu = ["--gpus-per-node=1"] if facts.has_gpus else []
    command = [
        "sbatch", "--parsable", "--job-name=doctor", f"--partition={facts.name}", "--time=11", "--ntasks=1",
        "--chdir=/", f"--output={log}", *gpu, f"--wrap=srun {shlex.join(python)}",
    ]  # fmt: skip
    with squeue.outside_of_jobs():
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)


def _judge(job: str, answer: Path, log: Path, patience: float) -> Iterator[CheckResult]:
    deadline = time.monotonic() + patience
    ended: float | None = None
    row: squeue.Row | None = None
    while not answer.is_file():
        time.sleep(POLL_SECONDS)
        row = squeue.jobs([job]).get(job)
        over = row is None or row.state not in {"PENDING", "RUNNING", "CONFIGURING", "COMPLETING"}
        ended = (ended or time.monotonic()) if over else None
        if ended and (_last(log) or time.monotonic() - ended > SETTLE_SECONDS):
            break
        if time.monotonic() > deadline:
            subprocess.run(["scancel", job], capture_output=True, timeout=60)
            break
    if answer.is_file():
        yield CheckResult("ok", "a job runs there, finds this package, and its files arrive here")
        yield from results(MachineFacts(**json.loads(answer.read_text(encoding="utf-8"))))
    elif ended is None:
        state = f"{row.state} ({row.reason})" if row else "unknown"
        yield CheckResult(
            "warn", f"the probe job is {state} after {patience:g} s: nodes were not looked at; probe_seconds="
        )
    elif said := _last(log):
        yield CheckResult(
            "problem", f"a job fails there: {said}: is this folder, and its environment, on a shared disk?"
        )
    else:
        where = answer.parent.parent
        text = f"a job ran, but what it wrote to {where} is not here: the nodes do not share that folder"
        yield CheckResult("problem", f"{text}; give execution.sweeps_dir=FOLDER on a shared disk")


def _last(said: str | Path) -> str:
    """The last line of a text or file, without srun's own remarks."""
    if isinstance(said, Path):
        said = said.read_text(encoding="utf-8", errors="replace") if said.is_file() else ""
    lines = [
        line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("srun:", "slurmstepd"))
    ]
    return lines[-1] if lines else ""


def main(answer: Path, sweeps_dir: Path) -> None:
    """On the node: write the facts, complete or not at all."""
    temporary = answer.with_suffix(".tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(gather(sweeps_dir, ask_torch=True))), encoding="utf-8")
    temporary.replace(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
