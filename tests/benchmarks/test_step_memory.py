"""A step's memory, counted where tensors have shapes only."""

import pytest
import torch

from benchmarks.bars import BARS
from benchmarks.live_memory import LiveMemory
from benchmarks.step_memory import bytes_a_parameter


def test_memory_is_counted_while_it_lives_and_views_have_none():
    with LiveMemory("meta") as memory:
        kept = torch.empty(1000, device="meta")
        view = kept.view(10, 100)
        dropped = view + 1
        assert memory.now == memory.most == 8000
        del dropped
        assert memory.now == 4000 and memory.most == 8000
        torch.empty(7)  # another device's
        kept.add_(1)
        assert memory.now == 4000 and memory.most == 8000


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize("architecture", ["gated", "baseline"])
def test_a_dense_step_of_the_largest_saes_fits(architecture, precision):
    gradients, optimizer = bytes_a_parameter(architecture, precision, 0.0)
    assert 12 < max(gradients, optimizer) <= BARS["step_memory"].limit
