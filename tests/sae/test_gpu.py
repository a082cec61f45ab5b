"""The GPU's sparse step against the dense one: on a GPU or in Triton's interpreter; a GPU's compiler takes it."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.config.schema import TrainConfig
from pipeline.sae.architectures.baseline import BaselineConfig, BaselineSAE
from pipeline.sae.architectures.gated import GatedConfig, GatedSAE
from pipeline.sae.architectures.gated_unfrozen import GatedUnfrozenConfig, GatedUnfrozenSAE
from pipeline.sae.base import SAE
from pipeline.sae.objective import StepContext
from pipeline.sae.sparse_step import selection
from pipeline.sae.sparse_step.codes import materialize
from pipeline.sae.sparse_step.step import ElementwiseSAE
from pipeline.training.optimizer import Optimizer

D_IN, D_SAE, BATCH, COEFFICIENT = 12, 40, 9, 0.3  # no power of two
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MAKERS = {
    "baseline": lambda: BaselineSAE(BaselineConfig(), D_IN, D_SAE),
    "gated": lambda: GatedSAE(GatedConfig(), D_IN, D_SAE),
    "gated, unfrozen": lambda: GatedUnfrozenSAE(GatedUnfrozenConfig(), D_IN, D_SAE),
}


def make(kind: str, bias: float = -1.0) -> ElementwiseSAE:
    generator = torch.Generator().manual_seed(0)
    sae = MAKERS[kind]().double()
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        getattr(sae, sae.gate_bias).add_(bias)
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    return sae.to(DEVICE)


def inputs() -> Tensor:
    return torch.randn(BATCH, D_IN, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(DEVICE)


@pytest.fixture(autouse=True)
def as_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr(selection, "compact_cpu", selection.compact_gpu)
    monkeypatch.setattr(selection, "SPARSE_BELOW", selection.SPARSE_BELOW | {DEVICE: 2.0})


@pytest.mark.slow
@pytest.mark.parametrize("bias", [-9.0, -1.0, 9.0])
@pytest.mark.parametrize("kind", MAKERS)
def test_gradients_are_those_of_the_plain_loss(kind, bias) -> None:
    sae = make(kind, bias)
    plain, step = (
        SAE.take_gradients(sae, inputs(), StepContext(COEFFICIENT)),
        sae.take_gradients(inputs(), StepContext(COEFFICIENT)),
    )
    assert type(step.gradients["W_dec"]).__name__ == "DeferredGradGPU"
    assert step.gradients.keys() == plain.gradients.keys()
    for name, gradient in plain.gradients.items():
        found = materialize(step.gradients[name])
        torch.testing.assert_close(found, gradient, rtol=1e-7, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
    assert step.terms() == pytest.approx(plain.terms(), rel=1e-9)
    assert step.l0() == plain.l0() and torch.equal(step.fired(), plain.fired())


@pytest.mark.slow
@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("kind", MAKERS)
def test_training_is_that_of_a_cpu(kind, beta1, monkeypatch) -> None:
    moved: list[object] = []
    by_triton = Optimizer._move_by_triton

    def move(self: Optimizer, values: Tensor, *arguments: Any, **named: Any) -> None:
        moved.append(values.shape)
        by_triton(self, values, *arguments, **named)

    monkeypatch.setattr(Optimizer, "_move_by_triton", move)
    sae, other, x = make(kind).float(), make(kind).float().cpu(), inputs().float()
    train = TrainConfig(steps=10, batch=BATCH, lr=0.05, beta1=beta1)
    on_device, on_cpu = Optimizer(sae, train), Optimizer(other, train)
    for _ in range(4):
        on_device.step(sae.take_gradients(x, StepContext(COEFFICIENT)).gradients, 0.05)
        on_cpu.step(SAE.take_gradients(other, x.cpu(), StepContext(COEFFICIENT)).gradients, 0.05)
    for name, parameter in sae.named_parameters():
        torch.testing.assert_close(parameter.cpu(), other.get_parameter(name), rtol=1e-4, atol=1e-4)
    assert len(moved) == 2 * 4, "both matrices, in each step"


def test_a_code_is_the_encoders() -> None:
    sae = make("gated")
    found, values = sae.encode_sparse(inputs())
    f = sae.encode(inputs()).detach()
    assert type(found).__name__ == "SparseCodesGPU" and 0 < len(values) < f.numel()
    torch.testing.assert_close(found.decode(values, sae.W_dec) + sae.b_dec, sae.decode(f))
    counted = torch.arange(BATCH, device=DEVICE) % 3 > 0
    by_row, by_feature = found.counts(values, counted)
    assert torch.equal(by_row, (f > 0).sum(1)) and torch.equal(by_feature, (f > 0)[counted].sum(0))


def test_many_active_entries_make_a_dense_step(monkeypatch) -> None:
    monkeypatch.setattr(selection, "SPARSE_BELOW", selection.SPARSE_BELOW | {DEVICE: 0.005})
    assert not make("gated", 9.0).take_gradients(inputs(), StepContext(COEFFICIENT)).sparse
    assert make("gated", -9.0).take_gradients(inputs(), StepContext(COEFFICIENT)).sparse


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from pipeline.sae.kernels import adam_gpu as adam
from pipeline.sae.kernels import gpu as loops

TYPES = {"starts": "*i64", "index": "*i32", "columns": "*i32", "order": "*i64"} | {
    name: "fp32" for name in ("scale", "step_size", "beta1", "beta2", "root", "epsilon")}

def compiled(loop, warps, **values):
    constants = {(place,): values[name] for place, name in enumerate(loop.arg_names) if name in values}
    types = {name: "constexpr" if name in values else TYPES.get(name, "*fp32") for name in loop.arg_names}
    made = triton.compile(ASTSource(loop, types, constants), GPUTarget("cuda", 90, 32), {"num_warps": warps})
    assert "atom" not in made.asm["ptx"] and len(made.asm["cubin"]) > 1000, loop
    print("compiled")

compiled(loops._sums, 1, block=128)
compiled(loops._weighted_rows, 8, d=2560, block=4096)
compiled(loops._reconstruct, 8, d=2560, block=4096)
for averaged in (False, True):
    for unit in (False, True):
        compiled(adam._adam_deferred, 8, d=2560, block=4096, averaged=averaged, unit=unit)
"""


@pytest.mark.slow
def test_a_gpus_compiler_takes_the_loops_and_makes_no_atomic_operations(tmp_path) -> None:
    """Triton compiles for a GPU without one."""
    environment = {"TRITON_INTERPRET": "0", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["compiled"] * 7, done.stderr


WITHOUT = """
import sys
sys.modules["triton"] = None
import torch
from pipeline.sae.architectures.gated import GatedConfig
from pipeline.sae.objective import StepContext
from pipeline.sae.registry import sae_class
print(sae_class("gated")(GatedConfig(), 4, 8).take_gradients(torch.randn(3, 4), StepContext(1.0)).sparse)
"""


@pytest.mark.slow
def test_nothing_of_triton_is_wanted_on_a_cpu() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True"], done.stderr
