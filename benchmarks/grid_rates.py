"""Each tool's best learning rate on the benchmark's grid: `python -m benchmarks.grid_rates [quick=true]`.

Trains an SAE from the middle of each arm, as long as the grid does, with each tool at each rate. What LEARNING_RATES in
benchmarks/grid.py is chosen by: the smallest geometric mean of the two held-out losses, where the whole grid trains.
"""

import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
from benchmarks import grid, grid_judge
from benchmarks.composed import compose
from benchmarks.grid_work import Work
from benchmarks.options import Options
from benchmarks.table import Table

MIDDLE = {arm: [values[3]] for arm, values in grid.LAMBDAS.items()}
RATES = {
    grid.OURS: (2e-3, 4e-3, 8e-3),
    grid.SAELENS: (1e-3, 2e-3, 4e-3),
    grid.DICTIONARY_LEARNING: (8e-3, 1.6e-2, 3.2e-2),
}


def held_out_losses(tool: str, work: Work, folder: Path) -> dict[str, float]:
    """Of one SAE of each arm, trained by this tool."""
    given = grid.prepare(replace(work, lambdas=MIDDLE), folder)
    if tool == grid.OURS:
        grid.run_ours(given, folder / tool, grid.best(given))
    else:
        grid.run_peer(tool, folder / tool)
    rows = grid_judge.judge(given, folder, compose(grid.overrides(given)), [tool]).rows
    return {row["architecture"]: row["loss"] for row in rows}


def main(options: Options) -> None:
    title = f"held-out losses of one SAE of each arm, lambda {MIDDLE}"
    table = Table("grid_rates", title, {"tool": "{}", "rate": "{:g}", **dict.fromkeys((*MIDDLE, "mean"), "{:.2f}")})
    for tool, rates in RATES.items():
        for rate in rates[:1] if options.quick else rates:
            with tempfile.TemporaryDirectory(prefix="bench-rates-") as folder:
                work = grid.work(options, dict.fromkeys(grid_judge.TOOLS, rate))
                losses = held_out_losses(tool, work, Path(folder))
            table.add(tool=tool, rate=rate, mean=math.prod(losses.values()) ** (1 / len(losses)), **losses)
            print(f"{tool} at {rate:g}: {losses}", flush=True)
    table.show(options.out)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
