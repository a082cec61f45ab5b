"""The default sweep, figures included, from an empty folder: `python -m benchmarks.default_sweep [quick=true]`.

The bar's minutes are meant at 150 GFLOP/s: where the machine is slower, its time counts in proportion.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
from benchmarks import machine
from benchmarks.bars import add_figures
from benchmarks.options import Options
from benchmarks.process import timed
from benchmarks.table import Table
from pipeline.runtime.device import available_cores

MEANT_AT = 150e9
PHASES = ("load", "activations", "training", "evaluation")


def phases(runs: Path) -> list[dict[str, float]]:
    """Seconds by phase and peak memory of each pack, the longest first."""
    packs: dict[tuple[str, ...], dict[str, float]] = {}
    for path in runs.glob("*/execution.json"):
        fact = json.loads(path.read_text())["attempts"][-1]
        here = fact["pack_seconds"] | {"peak_gb": fact["peak_memory_bytes"] / 1e9, "runs": len(fact["pack"])}
        before = packs.setdefault(tuple(fact["pack"]), here)
        if sum(here.values()) > sum(before.values()):
            packs[tuple(fact["pack"])] = here
    return sorted(packs.values(), key=lambda pack: -pack["training"])


def main(options: Options) -> None:
    sweep, rate = "smoke" if options.quick else "gated_vs_baseline", machine.MatmulRate()
    print(f"sweep={sweep} on {machine.words()}", flush=True)
    rates = [rate() for _ in range(8)]
    with tempfile.TemporaryDirectory(prefix="bench-sweep-") as name:
        folder = Path(name)
        train = [sys.executable, "pipeline/run.py", "-m", f"sweep={sweep}", f"execution.sweeps_dir={folder / 'sweeps'}"]
        draw = [
            sys.executable,
            "pipeline/plot_pareto.py",
            f"sweeps_dir={folder / 'sweeps'}",
            f"results_dir={folder / 'results'}",
        ]
        if options.threads != available_cores():  # else as users type it: the launcher divides the cores
            train.append(f"execution.threads={options.threads}")
        training = timed(train, folder / "train.txt")
        drawing = timed(draw, folder / "draw.txt")
        packs = phases(folder / "sweeps" / "runs")
    rates += [rate() for _ in range(8)]
    gflops = statistics.median(rates) / 1e9
    table = Table(
        "default_sweep", f"sweep={sweep}: seconds, and of each pack's phases from execution.json",
        {"what": "{}", "seconds": "{:.1f}", "runs": "{}", **dict.fromkeys(PHASES, "{:.1f}"), "peak_gb": "{:.2f}",
         "gflops": "{:.0f}"},
    )  # fmt: skip
    for number, pack in enumerate(packs, 1):
        table.add(what=f"pack {number}", seconds=sum(pack[p] for p in PHASES), gflops=gflops, **pack)
    table.add(what="all training", seconds=training, gflops=gflops)
    table.add(what="figures", seconds=drawing, gflops=gflops)
    table.show(options.out)
    minutes = (training + drawing) / 60
    counted = minutes * min(1.0, statistics.median(rates) / MEANT_AT)
    print(f"  {minutes:.2f} minutes at {gflops:.0f} GFLOP/s; counted as {counted:.2f}")
    add_figures(options.out, {"default_sweep": counted})


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
