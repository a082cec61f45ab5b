"""What one more run costs a pack: `python -m benchmarks.one_more_run [quick=true]`.

Packs of one run and of several, in turn, in one process, on the bundled model: the difference of their training times
(activations and steps) for each run more, divided by the seconds of that run's own steps when it is alone in its pack.
Evaluation, which adds a spliced pass for each run, stands beside it.
"""

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
from benchmarks import machine
from benchmarks.bars import add_figures
from benchmarks.composed import compose
from benchmarks.options import Options
from benchmarks.table import Spread, Table
from pipeline.config.schema import Execution, RunConfig
from pipeline.monitoring.progress import Progress
from pipeline.pack import Pack
from pipeline.records import record
from pipeline.storage.reading import whole_object


@dataclass(frozen=True)
class Taken:
    """Seconds of one pack."""

    activations: float
    training: float
    steps: float  # of the runs' own steps
    evaluation: float
    peak_memory: int


def runs(options: Options, count: int) -> list[RunConfig]:
    """Gated SAEs of the default sweep that differ in lambda; a step costs each about the same."""
    steps, block, sequences = (120, 16384, 16) if options.quick else (1500, 65536, 96)
    common = [
        f"train.steps={steps}", f"train.block={block}", "train.calibration=8192", "train.lr=4e-3", "site=mlp_out",
        f"eval.sequences={sequences}", "architecture=gated",
    ]  # fmt: skip
    return [compose([*common, f"sparsity_coefficient={4.0 + 0.01 * number}"]) for number in range(count)]


def execute(options: Options, members: list[RunConfig]) -> Taken:
    with tempfile.TemporaryDirectory(prefix="bench-pack-") as name:
        execution = Execution(device=options.device, threads=options.threads, sweeps_dir=name)
        with Progress(members) as progress:
            pack = Pack(members, execution, progress)
            pack.execute()
        facts = [whole_object(record.run_folder(Path(name), run) / record.EXECUTION) for run in members]
    attempts = [fact["attempts"][-1] for fact in facts if fact]
    return Taken(
        pack.seconds["activations"], pack.seconds["training"], sum(a["training_seconds"] for a in attempts),
        pack.seconds["evaluation"], max(a["peak_memory_bytes"] for a in attempts),
    )  # fmt: skip


def main(options: Options) -> None:
    print(f"packs on {machine.words(options.device)}", flush=True)
    counts, rounds = ((1, 4), 1) if options.quick else ((1, 2, 4, 8, 16), 3)
    members = runs(options, max(counts))
    taken: dict[int, list[Taken]] = {count: [] for count in counts}
    for round_ in range(rounds):
        for count in counts:
            taken[count].append(execute(options, members[:count]))
        alone, many = taken[1][round_], taken[counts[-1]][round_]
        print(f"round {round_ + 1}: {ratio(alone, many, counts[-1]):.3f}", flush=True)
    table = Table(
        "pack", f"packs of the default sweep's gated runs, {members[0].train.steps} steps: seconds, medians",
        {"runs": "{}", "activations": "{:.2f}", "steps": "{:.2f}", "loop": "{:.2f}", "evaluation": "{:.2f}",
         "one_more": "{:.3f}", "low": "{:.3f}", "high": "{:.3f}", "one_more_evaluation": "{:.2f}", "peak_gb": "{:.2f}",
         "sae_tokens_per_s": "{:.0f}"},
    )  # fmt: skip
    tokens = members[0].train.steps * members[0].train.batch
    for count, found in taken.items():
        more = [ratio(one, several, count) for one, several in zip(taken[1], found, strict=True)] if count > 1 else []
        spread = Spread.of(more) if more else None
        middle = {name: statistics.median(getattr(t, name) for t in found) for name in Taken.__dataclass_fields__}
        extra = (middle["evaluation"] - statistics.median(t.evaluation for t in taken[1])) / max(count - 1, 1)
        table.add(
            runs=count, activations=middle["activations"], steps=middle["steps"],
            loop=middle["training"] - middle["steps"], evaluation=middle["evaluation"],
            one_more=spread and spread.median, low=spread and spread.low, high=spread and spread.high,
            one_more_evaluation=extra if more else None, peak_gb=middle["peak_memory"] / 1e9,
            sae_tokens_per_s=count * tokens / (middle["activations"] + middle["training"]),
        )  # fmt: skip
    table.show(options.out)
    add_figures(options.out, {"one_more_run": table.rows[-1]["one_more"]})


def ratio(alone: Taken, several: Taken, count: int) -> float:
    """Seconds of training that each run more cost, over the seconds of one run's own steps alone."""
    added = (several.activations + several.training) - (alone.activations + alone.training)
    return added / (count - 1) / alone.steps


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
