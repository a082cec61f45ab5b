"""Is each step of a sparse training right? `python -m benchmarks.one_step`.

Trains the SAEs of `benchmarks.whole_training` sparse, with one seed. At each fiftieth step that is sparse, the step is
taken from the same state sparse, dense, and by autograd in float64. The first two are held against the last: each
parameter's gradient, and how Adam moves it. What an error has along the movement itself, with its sign, would add up
over steps: it is a step too long or too short.
"""

import copy
import statistics
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pipeline.runtime import environment  # noqa: F401  before torch
from pipeline.sae.objective import StepContext

# isort: split
from torch import Tensor

from benchmarks.options import Options
from benchmarks.table import Table
from benchmarks.three_ways import DENSE, SPARSE, Setting, blocks_of, steps_of, trainer_of
from benchmarks.whole_training import QUICK, SITE_AND_RATE, WHOLE, runs
from pipeline.activations.blocks import Block, StreamShape
from pipeline.sae.base import SAE, by_feature
from pipeline.sae.sparse_step.codes import materialize
from pipeline.training.schedule import learning_rate, sparsity_coefficient
from pipeline.training.trainer import Trainer

EVERY = 50
FLOAT64 = "float64"
Tensors = Mapping[str, Tensor]
Found = Mapping[tuple[str, str, str], Sequence[Mapping[str, float]]]
"""By architecture, parameter and way, one for each step that was looked at."""


def moved(trainer: Trainer, x: Tensor, way: str) -> tuple[Tensors, Tensors, bool]:
    """Gradients and movements of a copy's parameters in its next step, in float64, and whether the step was sparse."""
    sae, optimizer = copy.deepcopy(trainer.sae), copy.deepcopy(trainer.optimizer)
    optimizer.sae, run, step = sae, trainer.run, trainer.step
    coefficient = sparsity_coefficient(run.train, run.sparsity_coefficient, step)
    before = _exact(sae)
    if way == FLOAT64:
        sae.double()
        for moments in optimizer.moments.values():
            moments.exp_avg_sq = moments.exp_avg_sq.double()  # beta1 is 0: there is no other
        taken = SAE.take_gradients(sae, x.double(), StepContext(coefficient))
    else:
        with steps_of(way):
            taken = sae.take_gradients(x, StepContext(coefficient))
    gradients = {name: materialize(gradient).double().clone() for name, gradient in taken.gradients.items()}
    optimizer.step(taken.gradients, learning_rate(run.train, step))
    return gradients, {name: value - before[name] for name, value in _exact(sae).items()}, taken.sparse


def _exact(sae: SAE) -> dict[str, Tensor]:
    return {name: by_feature(name, value.detach()).double().clone() for name, value in sae.named_parameters()}


def errors(trainer: Trainer, block: Block) -> dict[tuple[str, str], dict[str, float]]:
    """By parameter and way: relative errors of its gradient and its movement, and the part along the movement.

    Nothing where the step is not sparse.
    """
    x = block.batch(trainer.run.hook_name, trainer.step) * trainer.scale
    right_gradients, right_moves, _ = moved(trainer, x, FLOAT64)
    found = {}
    for way in (SPARSE, DENSE):
        gradients, moves, sparse = moved(trainer, x, way)
        if sparse != (way == SPARSE):
            return {}  # too many features are active yet
        for name, right in right_moves.items():
            error, size = moves[name] - right, right.square().sum().item()
            found[name, way] = {
                "gradient": _relative(gradients[name], right_gradients[name]),
                "movement": error.square().sum().item() ** 0.5 / size**0.5,
                "along": (error * right).sum().item() / size,
            }
    return found


def _relative(one: Tensor, right: Tensor) -> float:
    return ((one - right).norm() / right.norm()).item()


def batches_of(block: Block, hook: str, steps: int) -> Iterator[Block]:
    """A block's batches, each as a block of one step."""
    shape = StreamShape(block.shape.batch + 1, 1, block.shape.batch, 1)
    first = block.index * block.shape.steps_per_block
    for step in range(first, min(first + block.shape.steps_per_block, steps)):
        yield Block(step, shape, {hook: block.batch(hook, step)})


def measure(common: Sequence[str], seed: int, every: int) -> Found:
    """Take both arms through a whole sparse training, and hold each of `every` steps against float64."""
    members = runs(common, seed)
    setting = Setting.of(members[0])
    trainers = [trainer_of(setting, run) for run in members]
    found: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
    for block in blocks_of(setting, members[0]):
        for batch in batches_of(block, setting.hook, members[0].train.steps):
            for trainer in trainers:
                if batch.index % every == 0:
                    for key, values in errors(trainer, batch).items():
                        found[trainer.run.architecture.name, *key].append(values)
                trainer.train_on(batch, threading.Event())
    return found


def table_of(found: Found) -> Table:
    table = Table(
        "one_step", "one step from the same state, against float64: relative errors, means over steps",
        {"architecture": "{}", "parameter": "{}", "way": "{}", "steps": "{}", "gradient": "{:.2e}",
         "movement": "{:.2e}", "along": "{:+.2e}"},
    )  # fmt: skip
    for (architecture, parameter, way), values in found.items():
        means = {name: statistics.fmean(each[name] for each in values) for name in values[0]}
        table.add(architecture=architecture, parameter=parameter, way=way, steps=len(values), **means)
    return table


def main(options: Options) -> None:
    length, every = (QUICK, 10) if options.quick else ((*WHOLE, "eval.sequences=16"), EVERY)
    table_of(measure([*SITE_AND_RATE, *length], 0, every)).show(options.out)


if __name__ == "__main__":
    main(Options.parse(sys.argv[1:]))
