"""Each tool's best learning rate on the benchmark's grid: `python -m benchmarks.grid_rates [quick=true]`.

Trains a quarter of the grid's SAEs, as long as the grid does, with each tool at each rate, and prints the mean held-out
loss relative to that tool's best. What LEARNING_RATES in benchmarks/grid.py is chosen by.
"""

import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pipeline  # noqa: F401  before torch: it sets what MKL and OpenMP read once

# isort: split
from benchmarks import grid, grid_judge
from benchmarks.composed import compose
from benchmarks.options import Options
from benchmarks.table import Table

RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)


def main(options: Options) -> None:
    losses: dict[str, dict[float, float]] = {tool: {} for tool in grid_judge.TOOLS}
    for rate in RATES[1::2] if options.quick else RATES:
        with tempfile.TemporaryDirectory(prefix="bench-rates-") as name:
            folder = Path(name)
            whole = grid.work(options, dict.fromkeys(grid_judge.TOOLS, rate))
            few = {arm: values[1::4] or values for arm, values in grid.LAMBDAS.items()}
            given = grid.prepare(replace(whole, lambdas=few), folder)
            for tool in grid_judge.TOOLS:
                if tool == grid.OURS:
                    grid.run_ours(given, folder / tool)
                else:
                    grid.run_peer(tool, folder / tool)
                rows = grid_judge.judge(given, folder, compose(grid.overrides(given)), [tool]).rows
                losses[tool][rate] = math.exp(math.fsum(math.log(row["loss"]) for row in rows) / len(rows))
                print(f"{tool} at {rate:g}: {losses[tool][rate]:.2f}", flush=True)
    table = Table(
        "grid_rates",
        "geometric mean of held-out losses",
        {"tool": "{}", "rate": "{:g}", "loss": "{:.2f}", "over_best": "{:.3f}"},
    )
    for tool, found in losses.items():
        for rate, loss in found.items():
            table.add(tool=tool, rate=rate, loss=loss, over_best=loss / min(found.values()))
    table.show(options.out)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
