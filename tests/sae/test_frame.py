"""Every architecture's step against autograd on its plain loss, in float64: ties and empty rows included."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.sae.architectures.batch_topk import BatchTopKConfig, BatchTopKSAE
from pipeline.sae.architectures.jumprelu import JumpReLUConfig, JumpReLUSAE
from pipeline.sae.architectures.matryoshka import MatryoshkaConfig, MatryoshkaSAE
from pipeline.sae.architectures.topk import TopKConfig, TopKSAE
from pipeline.sae.base import SAE, Step
from pipeline.sae.kernels import jit
from pipeline.sae.objective import StepContext
from pipeline.sae.registry import config_class
from pipeline.sae.sparse_step import selection
from pipeline.sae.sparse_step import step as sparse_step
from pipeline.sae.sparse_step.codes import materialize
from pipeline.sae.sparse_step.step import ElementwiseSAE

D_IN, D_SAE, BATCH = 12, 40, 30
NAMES = {TopKSAE: "topk", BatchTopKSAE: "batch_topk", MatryoshkaSAE: "matryoshka", JumpReLUSAE: "jumprelu"}
Maker = Callable[[], ElementwiseSAE]


def _jumprelu(**settings: object) -> Maker:
    config = replace(JumpReLUConfig(threshold=0.05, bandwidth=0.2), **settings)  # type: ignore[arg-type]
    return lambda: JumpReLUSAE(config, D_IN, D_SAE)


MAKERS: dict[str, Maker] = {
    "topk": lambda: TopKSAE(TopKConfig(k=5, aux_k=0), D_IN, D_SAE),
    "topk, dead": lambda: TopKSAE(TopKConfig(k=5, aux_k=3, aux_weight=0.5), D_IN, D_SAE),
    "topk, all": lambda: TopKSAE(TopKConfig(k=60, aux_k=0), D_IN, D_SAE),
    "batch_topk": lambda: BatchTopKSAE(BatchTopKConfig(k=5, aux_k=0), D_IN, D_SAE),
    "batch_topk, dead": lambda: BatchTopKSAE(BatchTopKConfig(k=5), D_IN, D_SAE),
    "matryoshka": lambda: MatryoshkaSAE(MatryoshkaConfig(k=5, levels=3, aux_k=0), D_IN, D_SAE),
    "matryoshka, dead": lambda: MatryoshkaSAE(MatryoshkaConfig(k=5, levels=9), D_IN, D_SAE),
    "jumprelu, l0": _jumprelu(),
    "jumprelu, target": _jumprelu(penalty="target_l0", target_l0=4.0),
    "jumprelu, tanh": _jumprelu(penalty="tanh"),
}


@pytest.fixture(params=MAKERS)
def sae(request: pytest.FixtureRequest) -> ElementwiseSAE:
    generator = torch.Generator().manual_seed(0)
    sae = MAKERS[request.param]().double()
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            if name != "threshold":
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    return sae


def context() -> StepContext:
    silent = torch.zeros(D_SAE, dtype=torch.int64)
    silent[3::4] = 5000
    return StepContext(0.3, 0, 100, silent)


def inputs() -> Tensor:
    return torch.randn(BATCH, D_IN, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(params=["dense", "in parts", "sparse"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "in parts":
        monkeypatch.setattr(sparse_step, "MAX_ELEMENTS", 7 * D_SAE)
    with selection.sparse_below(selection.ALWAYS if request.param == "sparse" else selection.NEVER):
        yield request.param


def gradients(step: Step) -> dict[str, Tensor]:
    return {name: materialize(gradient) for name, gradient in step.gradients.items()}


def check(sae: ElementwiseSAE, x: Tensor, sparse: bool) -> None:
    plain, step = SAE.take_gradients(sae, x, context()), sae.take_gradients(x, context())
    assert step.sparse == sparse
    expected, found = gradients(plain), gradients(step)
    assert found.keys() == expected.keys() == {name for name, _ in sae.named_parameters()}
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")
    assert step.terms() == pytest.approx(plain.terms(), rel=1e-11, abs=1e-12)
    assert step.l0() == plain.l0() and torch.equal(step.fired(), plain.fired())


def test_gradients_are_those_of_the_plain_loss(sae: ElementwiseSAE, way: str) -> None:
    check(sae, inputs(), way == "sparse")


def test_ties_and_rows_without_an_active_feature(sae: ElementwiseSAE, way: str) -> None:
    x = inputs().round()
    with torch.no_grad():
        for parameter in (sae.W_enc, sae.b_dec, sae.get_parameter("b_enc")):
            parameter.copy_((2 * parameter).round())
        x[:4] = sae.b_dec
        sae.get_parameter("b_enc")[:20] = -3.0
        sae.W_enc[:, 30:] = sae.W_enc[:, 20:30]
    check(sae, x, way == "sparse")


def test_inference_is_the_same_dense_and_sparse(sae: ElementwiseSAE, way: str) -> None:
    sae.take_gradients(inputs(), context())
    codes, values = sae.encode_sparse(inputs())
    f = sae.encode(inputs()).detach()
    torch.testing.assert_close(codes.decode(values, sae.W_dec), f @ sae.W_dec, rtol=1e-10, atol=1e-12)
    assert torch.equal(codes.counts(values, torch.ones(BATCH, dtype=torch.bool))[0], (f > 0).sum(1))


@pytest.mark.parametrize("kind", [TopKSAE, BatchTopKSAE, MatryoshkaSAE, JumpReLUSAE])
def test_bits_do_not_follow_the_number_of_threads(kind: type[ElementwiseSAE], monkeypatch: pytest.MonkeyPatch) -> None:
    """At a size where torch does use several threads; with five dead features, whose products are narrow."""
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    silent = torch.zeros(2048, dtype=torch.int64)
    silent[:5] = 5000
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        sae = kind(config_class(NAMES[kind])(), 256, 2048)
        with torch.no_grad():
            sae.W_enc.copy_(torch.randn(256, 2048, generator=torch.Generator().manual_seed(4)) / 16)
            sae.W_dec.copy_(sae.W_enc.T)
        x = torch.randn(512, 256, generator=torch.Generator().manual_seed(3))
        step = sae.take_gradients(x, StepContext(0.3, 0, 100, silent))
        found.append(gradients(step) | {"terms": torch.tensor(step.terms(), dtype=torch.float64)})
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_operations_of_dead_features_are_counted() -> None:
    with FlopCounterMode(display=False) as counter, selection.sparse_below(selection.NEVER):
        step = MAKERS["topk, dead"]().double().take_gradients(inputs(), context())
    assert step.flops == counter.get_total_flops()
