"""No bit follows the number of threads: whole packs under one, two and three, and every operation in them.

The first test sees what differs on the processor that it meets; the second refuses, on any processor, what differs on
some: on an Intel Xeon the product of a matrix and a vector, on an AMD EPYC products whose result is small.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import _disable_current_modes

from pipeline.config.schema import EvalConfig, ResampleConfig, RunConfig
from pipeline.language_model.model import LanguageModel
from pipeline.pack import pack
from pipeline.records import record
from pipeline.sae.architectures.baseline import BaselineConfig
from pipeline.sae.architectures.gated import GatedConfig
from pipeline.sae.architectures.gated_unfrozen import GatedUnfrozenConfig
from pipeline.sae.kernels import jit
from pipeline.sae.precision import may_be_split, product
from pipeline.sae.sparse_step import step
from pipeline.sae.sparse_step.codes_cpu import weighted_sum
from tests.operations import Refused, Watched
from tests.pack.test_pack import TRAIN, assert_same_run, execute, make_run

STEPS = 8


@pytest.fixture
def runs(tiny_model: Path, tiny_text: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Every architecture, sparse and dense, in both precisions; large enough for PyTorch and our loops to be split."""
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    monkeypatch.setattr(step, "MAX_ELEMENTS", 2**16)  # a dense step takes its rows in parts
    resample = ResampleConfig(steps=(4,), window=2, inputs=1100, lr_warmup=3)  # a whole part of 1,024 and a short one
    train = replace(
        TRAIN, steps=STEPS, batch=512, block=2048, lm_batch=16, calibration=2000, lr=1e-2, resample=resample
    )
    own = {
        "sparse": {"architecture": GatedConfig(expansion=16), "sparsity_coefficient": 30.0},
        "dense": {"architecture": BaselineConfig(expansion=16), "sparsity_coefficient": 0.01, "site": "attn_z"},
        "unfrozen": {"architecture": GatedUnfrozenConfig(expansion=16), "sparsity_coefficient": 0.01},
        "stopped": {"architecture": GatedConfig(expansion=4, stop_pre_bias=True), "site": "resid_post"},
    }
    changes = {
        "dense": {"precision": "bfloat16", "tied_init": False, "input_scale": "none"},
        "stopped": {"precision": "bfloat16", "data_directions": 0.5, "beta1": 0.9},
    }
    evaluation = EvalConfig(sequences=12, batch=4, prune_below=(0.3,))
    return [
        make_run(tiny_model, tiny_text, train=replace(train, **changes.get(name, {})), eval=evaluation, **settings)
        for name, settings in own.items()
    ]


@pytest.mark.slow
def test_whole_packs_have_the_same_bits_under_one_two_and_three_threads(runs, tmp_path):
    for threads in (1, 2, 3):
        execute(runs, tmp_path / str(threads), threads=threads)
    sparse = set()
    for run in runs:
        one, two, three = (record.run_folder(tmp_path / str(threads), run) for threads in (1, 2, 3))
        assert_same_run(one, two)
        assert_same_run(one, three)
        last = (one / record.HISTORY).read_text().splitlines()[-1].split(",")
        assert last[0] == str(STEPS)
        sparse.add(int(last[-1]) > 0)
    assert sparse == {True, False}, "both kinds of step"
    shared = [{path.name: path.read_bytes() for path in (tmp_path / n / "shared").iterdir()} for n in "123"]
    assert shared[0] == shared[1] == shared[2], "references"


@pytest.mark.slow
def test_every_operation_of_a_pack_is_one_that_no_thread_changes(runs, tmp_path, monkeypatch):
    """Under three threads; the language model's products are checked for vectors alone: its shapes are not ours."""
    with Watched() as watched:
        for name in ("activations", "prefix", "spliced"):
            monkeypatch.setattr(LanguageModel, name, as_the_models(watched, getattr(LanguageModel, name)))
        for name in ("load_language_model", "check_sites"):
            monkeypatch.setattr(pack, name, partial(unwatched, getattr(pack, name)))
        execute(runs, tmp_path, threads=3)
    assert not watched.refused
    assert all((record.run_folder(tmp_path, run) / record.METRICS).is_file() for run in runs)
    assert {"mm", "addmm", "bmm", "sum", "_log_softmax", "multinomial"} <= watched.seen, "nothing was watched"


def unwatched(check: Callable[..., Any], *given: Any) -> Any:
    """A model and its sites are checked before use: that makes no number that is kept."""
    with _disable_current_modes():
        return check(*given)


def as_the_models(watched: Watched, method: Callable[..., Any]) -> Callable[..., Any]:
    def within(*arguments: Any) -> Any:
        with watched.of_the_language_model():
            return method(*arguments)

    return within


W, v, tall = torch.randn(64, 32), torch.randn(32), torch.randn(40_000)
REFUSED = {
    "matrix-vector": lambda: W @ v,
    "vector-matrix": lambda: v @ W.T,
    "as matrices": lambda: W @ v[:, None],
    "added": lambda: torch.addmv(torch.zeros(64), W, v),
    "dot": lambda: v @ v,
    "linear of one row": lambda: torch.nn.functional.linear(v[None], W),
    "batch of columns": lambda: torch.bmm(W[None], v[None, :, None]),
    "small result": lambda: W[:20] @ W[:20].T,
    "sum of all": lambda: tall.sum(),
    "mean of all": lambda: tall.mean(),
    "sum of one column": lambda: tall[:, None].sum(0),
    "norm of all": lambda: torch.linalg.vector_norm(tall),
    "solver": lambda: torch.linalg.inv(torch.eye(4)),
    "cumulative sum": lambda: tall.cumsum(0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_follows_threads_on_some_processor_is_refused(name):
    torch.set_num_threads(3)
    with pytest.raises(Refused), Watched():
        REFUSED[name]()


def test_draws_are_the_same_under_any_number_of_threads():
    def drawn() -> list[torch.Tensor]:
        generator, weights = torch.Generator().manual_seed(0), torch.arange(1.0, 200_001, dtype=torch.float64)
        few = torch.multinomial(weights, 500, generator=generator)
        many = torch.multinomial(weights[:1000], 5000, replacement=True, generator=generator)
        size = 300_000
        return [
            few, many, torch.randn(size, generator=generator), torch.rand(size, generator=generator),
            torch.randperm(size, generator=generator),
        ]  # fmt: skip

    torch.set_num_threads(1)
    alone = drawn()
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert all(torch.equal(one, other) for one, other in zip(alone, drawn(), strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (513, 1), (1025, 33)])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_weighted_sum_of_rows_is_the_product_with_a_vector(shape, threads, monkeypatch):
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    generator = torch.Generator().manual_seed(0)
    table, weights = torch.randn(shape, generator=generator), torch.randn(shape[0], generator=generator)
    torch.set_num_threads(1)
    alone = weighted_sum(weights, table)
    torch.set_num_threads(threads)
    assert torch.equal(weighted_sum(weights, table), alone)
    torch.testing.assert_close(
        alone.double(), (weights.double()[:, None] * table.double()).sum(0), atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize("rows, columns", [(1, 1), (2, 31), (3, 1000), (8, 32), (64, 64), (256, 32), (1, 9000)])
def test_small_products_have_the_bits_of_one_thread(rows, columns):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(rows, 64, generator=generator), torch.randn(columns, 64, generator=generator)
    torch.set_num_threads(1)
    alone = product(a, b.T)
    for threads in (2, 3, 5, 8):
        torch.set_num_threads(threads)
        assert torch.equal(product(a, b.T), alone)
        assert torch.get_num_threads() == threads
    assert not may_be_split(rows, columns, 3)
