"""A step's memory, counted where tensors have shapes only."""

import pytest
import torch

from benchmarks.bars import BARS
from benchmarks.live_memory import LiveMemory
from benchmarks.step_memory import bytes_a_parameter
from pipeline.sae.registry import config_class, sae_class
from pipeline.sae.sparse_step.step import MAX_ELEMENTS


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


@pytest.mark.parametrize("architecture", ["gated", "baseline"])
def test_a_dense_code_has_two_tensors_of_features_at_the_most(architecture):
    """As pipeline/estimates/compute.py reckons."""
    batch, d_sae = 8192, 2**16
    with LiveMemory("meta") as memory, torch.device("meta"):
        sae = sae_class(architecture)(config_class(architecture)(), 64, d_sae)
        before = memory.now
        codes, f = sae.encode_sparse(torch.empty(batch, 64))
        codes.counts(f, torch.ones(batch, dtype=torch.bool))
        assert f.shape == (batch, d_sae) and batch * d_sae >= 4 * MAX_ELEMENTS
    assert 4 * f.numel() < memory.most - before <= 2 * 4 * f.numel()
