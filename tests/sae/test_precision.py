"""bfloat16 products: operands are rounded, sums are not, weights stay as they are."""

import pytest
import torch

from pipeline.sae.architectures.gated import GatedConfig, GatedSAE
from pipeline.sae.base import SAE
from pipeline.sae.objective import StepContext
from pipeline.sae.precision import product
from pipeline.sae.sparse_step import selection
from pipeline.sae.sparse_step.codes import materialize


def test_operands_are_rounded_and_sums_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 300, generator=generator), torch.randn(300, 7, generator=generator)
    found = product(a, b, "bfloat16")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), a.bfloat16().double() @ b.bfloat16().double(), rtol=1e-5, atol=1e-5)
    assert (found - a @ b).abs().max() > 1e-3
    assert torch.equal(product(a, b, "float32"), a @ b)


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_a_steps_gradients_are_close_to_float32s_whether_dense_or_sparse(share, monkeypatch) -> None:
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": share})
    generator = torch.Generator().manual_seed(0)
    sae, x = GatedSAE(GatedConfig(), 64, 128), torch.randn(200, 64, generator=generator)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        sae.b_gate -= 1
    exact = SAE.take_gradients(sae, x, StepContext(0.1)).gradients
    sae.set_precision("bfloat16")
    step = sae.take_gradients(x, StepContext(0.1))
    assert step.sparse == bool(share) and sae.W_enc.dtype == torch.float32
    for name, gradient in exact.items():
        found = materialize(step.gradients[name])
        assert found.dtype == torch.float32
        assert 0 < (found - gradient).norm() < 0.05 * gradient.norm(), name
