"""All benchmarks and the verdict over their bars: `make bench`, or `python -m benchmarks.run [parts=step,pack,...]`.

  quick=true     few steps and repetitions: does everything run? Bars are not judged
  parts=A,B      some parts only: step, curves, memory, scaling, pack, grid, sweep
  publish=true   the tables to results/reference/benchmarks/, which git keeps, in place of those that lie there
  threads=N      default: the cores this process may use

Each part is a process of its own and writes its tables to results/benchmarks/. The last line is the verdict, and the
exit code is 1 where a bar is missed or was not measured.
"""

import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
from benchmarks import bars, machine
from benchmarks.options import Options
from benchmarks.table import TABLES
from pipeline.cli.options import command, key_values, true_or_false
from pipeline.errors import UserError
from pipeline.records.identity import git_state
from pipeline.storage.places import BASE

PARTS = {
    "step": "benchmarks.training_step",  # in the peers' environment
    "curves": "benchmarks.whole_training",
    "memory": "benchmarks.step_memory",
    "scaling": "benchmarks.scaling",
    "pack": "benchmarks.one_more_run",
    "grid": "benchmarks.grid",
    "sweep": "benchmarks.default_sweep",
}
IN_PEERS_ENVIRONMENT = {"step"}
REFERENCE = BASE / "results" / "reference" / "benchmarks"


def peers_python() -> Path:
    """The interpreter of the peers' environment, which `make .venv-peers/.installed` makes; PEERS_PYTHON overrides it.

    Raises:
        UserError: there is none.
    """
    path = Path(os.environ.get("PEERS_PYTHON", BASE / ".venv-peers" / "bin" / "python"))
    if not path.exists():
        raise UserError(f"the peers' environment is missing ({path}): make bench makes it")
    return path


def run_part(part: str, options: Options) -> bool:
    """Run one part with its output shown; returns whether it ended well."""
    python = str(peers_python()) if part in IN_PEERS_ENVIRONMENT else sys.executable
    arguments = [f"out={options.out}", f"threads={options.threads}", f"device={options.device}"]
    quick = [f"quick={str(options.quick).lower()}"]
    variables = os.environ | {"PYTHONPATH": str(BASE), "PYTHONWARNINGS": "ignore"}
    print(f"\n== {part}", flush=True)
    done = subprocess.run([python, "-m", PARTS[part], *arguments, *quick], cwd=BASE, env=variables)
    return done.returncode == 0


def publish(out: Path, arguments: Sequence[str], words: str, last: str) -> None:
    """Copy tables to where git keeps them, with the command and the machine in words."""
    shutil.rmtree(REFERENCE, ignore_errors=True)
    REFERENCE.mkdir(parents=True)
    for path in out.glob("*.csv"):
        shutil.copy(path, REFERENCE / path.name)
    day, tables = datetime.date.today().isoformat(), (out / TABLES).read_text().strip()
    text = (
        f'# Benchmarks\n\nMade by `make bench BENCH="{" ".join(arguments)}"` on {day}, {words}.\n'
        "The same numbers as CSV lie beside this file; docs/measurements.md says what each table measures.\n\n"
        f"```\n{tables}\n```\n\n{last}\n"
    )
    (REFERENCE / "README.md").write_text(text)
    print(f"published {REFERENCE.relative_to(BASE)}")


def bench(arguments: Sequence[str]) -> int:
    given = key_values(arguments, ("quick", "parts", "publish", "threads", "device", "out"))
    parts = given.pop("parts", ",".join(PARTS)).split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise UserError(f"parts={unknown[0]} is unknown; accepted: {', '.join(PARTS)}")
    publishing = true_or_false("publish", given.pop("publish", "false"))
    options = Options.parse([f"{key}={value}" for key, value in given.items()])
    if publishing and options.quick:
        raise UserError("publish=true publishes whole runs: without quick=true")
    if {"step", "grid"} & set(parts):
        peers_python()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in [*options.out.glob("*.csv"), options.out / bars.FIGURES, options.out / TABLES]:
        path.unlink(missing_ok=True)
    git = git_state()
    changed = ", changed" if git["dirty"] else ""
    words = f"at commit {str(git['commit'])[:7]}{changed}, on {machine.words(options.device)}"
    print(f"{words}; {machine.cores_busy():.1f} cores busy before it began")
    failed = [part for part in parts if not run_part(part, options)]
    figures = bars.read_figures(options.out)
    print("\n== verdict")
    bars.table(figures, parts, options.quick).show(options.out)
    last, code = bars.verdict(figures, parts, options.quick)
    if failed:
        last, code = f"{last}; FAILED: {', '.join(failed)}", 1
    if publishing:
        publish(options.out, arguments, words, last)
    print(last)
    return code


if __name__ == "__main__":
    sys.exit(command(bench, __doc__ or "", sys.argv[1:]))
