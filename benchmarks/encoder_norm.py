"""How long W_enc's columns should be at the start: `python -m benchmarks.encoder_norm [quick=true]`.

Trains an SAE from the middle of each arm of the default sweep's architectures at each norm and two learning rates, with
the grid's steps and tokens; the losses are its held-out ones.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
from benchmarks import grid, grid_judge
from benchmarks.composed import compose
from benchmarks.grid_rates import MIDDLE
from benchmarks.options import Options
from benchmarks.table import Table

NORMS = (1.0, 0.3, 0.1, 0.03)
RATES = (4e-3, 8e-3)
ARCHITECTURES = {arm: arm for arm in MIDDLE}


def main(options: Options) -> None:
    title = f"held-out losses of one SAE of each arm, lambda {MIDDLE}"
    table = Table("encoder_norm", title, {"rate": "{:g}", "encoder_norm": "{:g}", **dict.fromkeys(MIDDLE, "{:.2f}")})
    for rate in RATES[:1] if options.quick else RATES:
        for norm in NORMS[::2] if options.quick else NORMS:
            with tempfile.TemporaryDirectory(prefix="bench-norm-") as name:
                folder = Path(name)
                work = replace(grid.work(options, {grid.OURS: rate}), lambdas=MIDDLE, architectures=ARCHITECTURES)
                given = grid.prepare(work, folder)
                grid.run_ours(given, folder / grid.OURS, [f"train.encoder_norm={norm}"])
                rows = grid_judge.judge(given, folder, compose(grid.overrides(given)), [grid.OURS]).rows
            table.add(rate=rate, encoder_norm=norm, **{row["architecture"]: row["loss"] for row in rows})
    table.show(options.out)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
