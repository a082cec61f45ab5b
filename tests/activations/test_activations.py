"""The stream of activations: batches that depend on seed and step alone, blocks of one size, no special position."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipeline.activations.blocks import Block, StreamShape, calibrate, calibration_size, harvest, read_block
from pipeline.config.schema import TrainConfig
from pipeline.language_model.model import LanguageModel
from pipeline.tokens.contexts import Contexts
from pipeline.tokens.sources import ContextsInMemory, permutation

CONTEXT, LM_BATCH, BATCH, BLOCK = 9, 4, 24, 250
HOOKS = ["blocks.0.hook_resid_post", "blocks.1.hook_mlp_out"]
TRAIN = TrainConfig(steps=50, batch=BATCH, lr=1e-3, block=BLOCK, lm_batch=LM_BATCH, calibration=100)
SHAPE = StreamShape.of(TRAIN, CONTEXT)
BOS = 0


class Reader(LanguageModel):
    """Stands in for a language model: an activation says which token was read; shapes of forwards are kept."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.shapes: list[tuple[int, ...]] = []

    def activations(self, tokens: Tensor, hook_names: list[str]) -> dict[str, Tensor]:
        self.shapes.append(tuple(tokens.shape))
        values = torch.stack([tokens, -tokens, torch.ones_like(tokens)], dim=-1).float()
        return {hook: values * (1 + HOOKS.index(hook)) for hook in hook_names}


def contexts(n: int = 120, special: list[tuple[int, int]] | None = None) -> Contexts:
    """Every token is another one but BOS, which begins each context; `special` places hold one more of it."""
    tokens = 1 + torch.arange(n * CONTEXT).view(n, CONTEXT)
    tokens[:, 0] = BOS
    for place in special or []:
        tokens[place] = BOS
    return Contexts(tokens, tokens == BOS, torch.arange(n))


def read(index: int, seed: int = 0, held: Contexts | None = None, hooks: list[str] = HOOKS) -> Block:
    """A block, by a process that has read nothing before it."""
    source = ContextsInMemory(contexts() if held is None else held, seed)
    return read_block(Reader(), source, SHAPE, hooks, index, seed)


def tokens_of(batch: Tensor) -> list[int]:
    return [int(token) for token in batch[:, 0]]


def stream(steps: range, seed: int = 0) -> list[Tensor]:
    return [read(SHAPE.block_of(step), seed).batch(HOOKS[0], step) for step in steps]


# --------------------------------------------------------------------------------------------------------------- shape


@pytest.mark.parametrize(("block", "lm_batch", "context"), [(250, 4, 9), (256, 4, 9), (257, 4, 9), (24, 16, 33)])
def test_block_is_the_fewest_whole_forwards_that_fill_it(block: int, lm_batch: int, context: int) -> None:
    shape = StreamShape.of(replace(TRAIN, block=block, lm_batch=lm_batch), context)
    assert shape.contexts_per_block % lm_batch == 0
    assert shape.contexts_per_block * (context - 1) >= block
    assert (shape.contexts_per_block - lm_batch) * (context - 1) < block


def test_steps_and_blocks_fit_together() -> None:
    assert SHAPE.contexts_per_block == 32 and SHAPE.steps_per_block == 10
    assert [SHAPE.block_of(step) for step in (0, 9, 10, 39)] == [0, 0, 1, 3]
    assert [SHAPE.contexts_read(steps) for steps in (1, 10, 11, 40)] == [32, 32, 64, 128]


def test_calibration_is_the_fewest_whole_forwards_that_fill_it() -> None:
    assert calibration_size(TRAIN, CONTEXT) == 16  # 100 activations: 4 forwards of 4 contexts of 8
    assert calibration_size(replace(TRAIN, calibration=96), CONTEXT) == 12


# -------------------------------------------------------------------------------------------------------------- batches


def test_batch_is_a_function_of_seed_and_step() -> None:
    """Whichever blocks were read before, and in whatever order."""
    source = ContextsInMemory(contexts(), seed=5)
    blocks = [read_block(Reader(), source, SHAPE, HOOKS, index, 5) for index in range(4)]
    in_order = [blocks[SHAPE.block_of(step)].batch(HOOKS[0], step) for step in range(40)]
    for step in (39, 0, 17, 10, 9):
        assert torch.equal(read(SHAPE.block_of(step), seed=5).batch(HOOKS[0], step), in_order[step])


def test_seed_decides_contexts_and_shuffle() -> None:
    assert not torch.equal(stream(range(1), seed=0)[0], stream(range(1), seed=1)[0])
    same_source = ContextsInMemory(contexts(), seed=0)
    first, second = (read_block(Reader(), same_source, SHAPE, HOOKS, 0, seed).activations for seed in (0, 1))
    assert not torch.equal(first[HOOKS[0]], second[HOOKS[0]]), "the shuffle inside a block does not follow the seed"


def test_blocks_are_shuffled_differently() -> None:
    """Places in their blocks, which are of as many tokens each."""
    first, second = (read(index).activations[HOOKS[0]][:, 0].argsort() for index in (0, 1))
    assert not torch.equal(first, second)


def test_every_part_of_a_key_decides_a_permutation() -> None:
    """torch's CPU generator takes the low 32 bits of a seed and ignores the others."""
    keys = [(0,), (0, 0), (0, 1), (1, 0), (1, 1), (1 << 32, 0), (0, 1 << 32), (-1, 0)]
    orders = {tuple(permutation(50, *key).tolist()) for key in keys}
    assert len(orders) == len(keys)
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_every_epoch_reads_all_contexts_in_another_order() -> None:
    source = ContextsInMemory(contexts(30), seed=3)
    epochs = [source.read(30 * epoch, 30).document.tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert source.read(20, 20).document.tolist() == epochs[0][20:] + epochs[1][:10]


def test_all_batches_have_the_batch_size() -> None:
    assert {batch.shape for batch in stream(range(20))} == {(BATCH, 3)}


def test_activations_are_used_at_most_once_in_an_epoch() -> None:
    """96 of 120 contexts, in three blocks; 16 activations of each block are left over."""
    used = [token for batch in stream(range(30)) for token in tokens_of(batch)]
    assert len(used) == len(set(used)) == 30 * BATCH
    assert BOS not in used


def test_block_holds_activations_of_its_contexts_only() -> None:
    wanted = ContextsInMemory(contexts(), seed=0).read(32, 32)
    possible = set(wanted.tokens[~wanted.special].tolist())
    used = {token for batch in stream(range(10, 20)) for token in tokens_of(batch)}
    assert used < possible and len(used) == 10 * BATCH


def test_batches_mix_contexts() -> None:
    """A batch of 24 from 32 contexts of 8: unshuffled it would hold 3."""
    for batch in stream(range(5)):
        assert len({token // CONTEXT for token in tokens_of(batch)}) > 10


def test_hooks_share_rows_and_do_not_disturb_each_other() -> None:
    both, alone = read(1), read(1, hooks=HOOKS[1:])
    for step in range(10, 20):
        assert torch.equal(both.batch(HOOKS[1], step), 2 * both.batch(HOOKS[0], step))
        assert torch.equal(both.batch(HOOKS[1], step), alone.batch(HOOKS[1], step))


def test_special_tokens_inside_contexts_shrink_no_block() -> None:
    """Fewer rows than places: the first of the order come again; no batch is short or holds a special one."""
    held = contexts(special=[(n, p) for n in range(120) for p in (3, 7)])
    block = read(0, held=held)
    rows = 32 * 6
    assert len(block.activations[HOOKS[0]]) == 10 * BATCH > rows
    used = [token for step in range(10) for token in tokens_of(block.batch(HOOKS[0], step))]
    assert len(used) == 10 * BATCH and BOS not in used
    assert len(set(used)) == rows and used[rows:] == used[: len(used) - rows]


# ---------------------------------------------------------------------------------------------- harvest and calibration


def test_harvest_keeps_all_non_special_positions_in_order() -> None:
    held = contexts(8, special=[(2, 5), (7, 8)])
    found = harvest(Reader(), held, HOOKS, LM_BATCH)
    expected = held.tokens[held.tokens != BOS].float()
    assert len(expected) == 8 * (CONTEXT - 1) - 2
    assert torch.equal(found[HOOKS[0]][:, 0], expected)
    assert torch.equal(found[HOOKS[1]][:, 0], 2 * expected)


def test_every_forward_has_the_same_shape() -> None:
    reader = Reader()
    read_block(reader, ContextsInMemory(contexts(), 0), SHAPE, HOOKS, 2, 0)
    assert reader.shapes == [(LM_BATCH, CONTEXT)] * 8


def test_scale_makes_the_mean_square_norm_the_dimension() -> None:
    x = 7 + 3 * torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    calibration = calibrate(x)
    scale = calibration.scale("sqrt_d_in")
    assert (scale * x).double().square().sum(1).mean().item() == pytest.approx(6, rel=1e-6)
    assert calibration.mean_square == pytest.approx(x.double().square().sum(1).mean().item(), rel=1e-12)
    torch.testing.assert_close(calibration.mean, x.mean(0))
    assert calibration.scale("none") == 1.0
