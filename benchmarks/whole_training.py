"""Does a whole training come to the same, sparse or dense? `python -m benchmarks.whole_training [quick=true]`.

Trains the middle SAE of both arms of the default sweep, with several seeds, once by the table of shares and once all
dense. A curve's difference at a step is held against the spread of the seeds there; the held-out metrics stand beside.
"""

import csv
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pipeline  # noqa: F401  before torch: it sets what MKL and OpenMP read once

# isort: split
from benchmarks.bars import add_figures
from benchmarks.composed import compose
from benchmarks.options import Options
from benchmarks.table import Table
from pipeline import record
from pipeline.config import Execution, RunConfig
from pipeline.finished import finished
from pipeline.identity import evaluation_identity
from pipeline.pack import Pack
from pipeline.progress import Progress
from pipeline.sae import choice

ARMS = {"gated": 2.3, "baseline": 1.95}
SEEDS = (0, 1, 2, 3)
CURVES, HELD_OUT = ("loss", "l0"), ("fvu", "l0", "loss_recovered", "gamma")


def runs(options: Options, seed: int) -> list[RunConfig]:
    """As the default sweep trains them, in half as many steps."""
    steps, block, sequences = (120, 16384, 16) if options.quick else (2500, 65536, 192)
    common = [
        f"train.steps={steps}", f"train.lr_decay={steps // 5}", "train.lr=8e-3", f"train.block={block}",
        "site=mlp_out", f"eval.sequences={sequences}", f"seed={seed}",
    ]  # fmt: skip
    return [compose([*common, f"architecture={arm}", f"sparsity_coefficient={lam}"]) for arm, lam in ARMS.items()]


def execute(options: Options, members: list[RunConfig], folder: Path, share: float) -> None:
    """Train one seed's SAEs with steps that are dense from this share of active pairs."""
    kept = choice.SPARSE_BELOW["cpu"]
    choice.SPARSE_BELOW["cpu"] = share
    try:
        with Progress(members) as progress:
            Pack(members, Execution(device="cpu", threads=options.threads, sweeps_dir=str(folder)), progress).execute()
    finally:
        choice.SPARSE_BELOW["cpu"] = kept


def curve(folder: Path, run: RunConfig, column: str) -> list[float]:
    with (record.run_folder(folder, run) / record.HISTORY).open() as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def metric(folder: Path, run: RunConfig, name: str) -> list[float]:
    found = finished(record.run_folder(folder, run), evaluation_identity(run))
    assert found is not None
    return [float(found["metrics"][name])]


def compared(sparse: Sequence[Sequence[float]], dense: Sequence[Sequence[float]]) -> dict[str, float]:
    """Root mean squares over steps and seeds, [seed][step]: of the difference, and of the seeds' standard deviation.

    Rounding makes other SAEs of two trainings in the end, so that a difference of `seeds` times the root of two is what
    two seeds would have. `signed` is the mean of the differences: a systematic one would be as large as `difference`.
    """
    spreads = [statistics.stdev(at) for at in zip(*sparse, strict=True)]
    pairs = [pair for one, two in zip(sparse, dense, strict=True) for pair in zip(one, two, strict=True)]
    difference, spread = _rms([a - b for a, b in pairs]), _rms(spreads)
    mean = statistics.fmean(abs(a) for a, _ in pairs)
    signed = statistics.fmean(a - b for a, b in pairs)
    return {
        "mean": mean, "signed": signed, "difference": difference, "seeds": spread, "over_seeds": difference / spread
    }  # fmt: skip


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(value * value for value in values))


def main(options: Options) -> None:
    seeds = SEEDS[:2] if options.quick else SEEDS
    members = {seed: runs(options, seed) for seed in seeds}
    title = f"a whole training, sparse against dense, {members[0][0].train.steps} steps, {len(seeds)} seeds"
    table = Table(
        "whole_training", title,
        {"architecture": "{}", "what": "{}", "mean": "{:.4g}", "signed": "{:+.2g}", "difference": "{:.2g}",
         "seeds": "{:.2g}", "over_seeds": "{:.3f}"},
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-whole-") as name:
        sparse, dense = Path(name, "sparse"), Path(name, "dense")
        for seed in seeds:
            execute(options, members[seed], sparse, choice.SPARSE_BELOW["cpu"])
            execute(options, members[seed], dense, 0.0)
        for place, arm in enumerate(ARMS):
            mine = [members[seed][place] for seed in seeds]
            for read, columns, said in ((curve, CURVES, "curve of "), (metric, HELD_OUT, "held-out ")):
                for column in columns:
                    found = ([read(folder, run, column) for run in mine] for folder in (sparse, dense))
                    table.add(architecture=arm, what=said + column, **compared(*found))
    table.show(options.out)
    curves = [row["over_seeds"] for row in table.rows if row["what"].startswith("curve")]
    add_figures(options.out, {"whole_training": max(curves)})


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
