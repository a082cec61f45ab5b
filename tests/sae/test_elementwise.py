"""The written-out training step against autograd on the plain loss: dense, sparse, any share of active entries."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.sae.architectures.baseline import BaselineConfig, BaselineSAE
from pipeline.sae.architectures.gated import GatedConfig, GatedSAE
from pipeline.sae.architectures.gated_unfrozen import GatedUnfrozenConfig, GatedUnfrozenSAE
from pipeline.sae.base import SAE, Step
from pipeline.sae.kernels import jit
from pipeline.sae.objective import StepContext, Values
from pipeline.sae.sparse_step import selection
from pipeline.sae.sparse_step import step as sparse_step
from pipeline.sae.sparse_step.activation import PreActs
from pipeline.sae.sparse_step.codes import DenseCodes, materialize
from pipeline.sae.sparse_step.codes_cpu import SparseCodes
from pipeline.sae.sparse_step.step import ElementwiseSAE

D_IN, D_SAE, BATCH, AT = 24, 96, 50, StepContext(0.3)
MAKERS = {
    "baseline": lambda: BaselineSAE(BaselineConfig(), D_IN, D_SAE),
    "gated": lambda: GatedSAE(GatedConfig(), D_IN, D_SAE),
    "gated, prose": lambda: GatedSAE(GatedConfig(stop_pre_bias=True), D_IN, D_SAE),
    "gated, unfrozen": lambda: GatedUnfrozenSAE(GatedUnfrozenConfig(), D_IN, D_SAE),
}
SHARES = (0.0, 0.02, 0.3, 0.7, 1.0)


def inputs() -> Tensor:
    return torch.randn(BATCH, D_IN, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(params=MAKERS)
def sae(request: pytest.FixtureRequest) -> ElementwiseSAE:
    """In float64, every parameter away from zero and a decoder of unit norm."""
    generator = torch.Generator().manual_seed(0)
    sae = MAKERS[request.param]().double()
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    return sae


def make_active(sae: ElementwiseSAE, share: float) -> None:
    """Shift the gate so that this share of all entries is active."""
    with torch.no_grad():
        bias = getattr(sae, sae.gate_bias)
        gate = (sae.pre_acts(inputs()) + bias).flatten().sort().values
        padded = torch.cat([gate[:1] - 1, gate, gate[-1:] + 1])
        cut = round(len(gate) * (1 - share))
        bias -= padded[cut : cut + 2].mean()  # between two entries: none is at zero but for rounding


def gradients(step: Step) -> dict[str, Tensor]:
    return {name: materialize(gradient) for name, gradient in step.gradients.items()}


def by_autograd(sae: ElementwiseSAE, x: Tensor) -> dict[str, Tensor]:
    return gradients(SAE.take_gradients(sae, x, AT))


def written_out(sae: ElementwiseSAE, x: Tensor, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 2.0 if sparse else 0.0})
    step = sae.take_gradients(x, AT)
    assert step.sparse == sparse
    return gradients(step)


@pytest.fixture(params=[None, 7], ids=["whole", "in parts"])
def rows(request, monkeypatch) -> None:
    """How many rows of the batch a dense step takes at a time."""
    if request.param:
        monkeypatch.setattr(sparse_step, "MAX_ELEMENTS", request.param * D_SAE)
        assert 2 * request.param < BATCH and BATCH % request.param


@pytest.mark.slow
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("share", SHARES)
def test_gradients_are_those_of_the_plain_loss(share, sparse, rows, sae, monkeypatch) -> None:
    make_active(sae, share)
    active = (sae.pre_acts(inputs()) > sae.active_above()).double().mean().item()
    assert active == pytest.approx(share, abs=1e-3)
    expected, found = by_autograd(sae, inputs()), written_out(sae, inputs(), sparse, monkeypatch)
    assert found.keys() == expected.keys() == {name for name, _ in sae.named_parameters()}
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("share", SHARES)
def test_single_precision_is_as_good_as_the_dense_steps(share, sae, monkeypatch) -> None:
    """Norm of the error over norm of the gradient, per tensor: at most 1e-5, or twice the dense step's."""
    make_active(sae, share)
    exact = by_autograd(sae, inputs())
    single, x = sae.float(), inputs().float()
    dense, sparse = (written_out(single, x, sparse, monkeypatch) for sparse in (False, True))
    for name, gradient in exact.items():
        size = gradient.norm()
        errors = [
            ((found[name].double() - gradient).norm() / size).item() if size else 0.0 for found in (dense, sparse)
        ]
        assert errors[1] <= max(1e-5, 2 * errors[0]), name


@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_says_what_the_loss_was_made_of(sparse, rows, sae, monkeypatch) -> None:
    make_active(sae, 0.1)
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 2.0 if sparse else 0.0})
    plain, step = SAE.take_gradients(sae, inputs(), AT), sae.take_gradients(inputs(), AT)
    assert step.terms() == pytest.approx(plain.terms(), rel=1e-12)
    assert step.l0() == plain.l0() and torch.equal(step.fired(), plain.fired())
    assert 0 < step.fired().sum() < D_SAE


PRODUCTS = {"baseline": 5, "gated": 7, "gated, prose": 7, "gated, unfrozen": 8}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_dense_step_counts_its_products_as_torch_does(kind, rows, monkeypatch) -> None:
    """Of the step written out; autograd's has the product of b_dec with W_enc beside, and what that teaches both."""
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 0.0})
    sae = MAKERS[kind]()
    x = inputs().float()
    with FlopCounterMode(display=False) as counter:
        step = sae.take_gradients(x, AT)
    assert step.flops == counter.get_total_flops() == 2 * PRODUCTS[kind] * BATCH * D_IN * D_SAE
    assert sae.dense_products == PRODUCTS[kind]
    assert SAE.take_gradients(sae, x, AT).flops == step.flops


@pytest.mark.parametrize("share", SHARES)
def test_a_sparse_step_counts_the_encoder_and_what_it_forms_over_active_entries(share, sae, monkeypatch) -> None:
    """Each of its loops takes a multiplication and an addition for each number of a row, for each pair and term."""
    make_active(sae, share)
    active = int((sae.pre_acts(inputs()) > sae.active_above()).sum())
    products_over_active = []
    reconstruct, weight_grad = SparseCodes.reconstruct, SparseCodes.weight_grad

    def reconstructed(self, decoded, *rest):  # type: ignore[no-untyped-def]
        products_over_active.extend(2 * [len(values) for values in decoded])  # decoding and its gradient
        return reconstruct(self, decoded, *rest)

    def gathered(self, *terms, **named):  # type: ignore[no-untyped-def]
        products_over_active.extend(len(term.values) for term in terms)
        return weight_grad(self, *terms, **named)

    monkeypatch.setattr(SparseCodes, "reconstruct", reconstructed)
    monkeypatch.setattr(SparseCodes, "weight_grad", gathered)
    monkeypatch.setattr(selection, "SPARSE_BELOW", {"cpu": 2.0})
    step = sae.take_gradients(inputs(), AT)
    assert step.sparse and sae.dense_products is not None
    assert products_over_active == [active] * (sae.dense_products - 1)
    assert step.flops == 2 * D_IN * (BATCH * D_SAE + sum(products_over_active))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_code_is_the_encoder_where_it_is_not_zero(share, rows, sae) -> None:
    make_active(sae, share)
    found, values = sae.encode_sparse(inputs())
    f = sae.encode(inputs()).detach()
    assert isinstance(found, SparseCodes if share < 0.5 else DenseCodes)
    torch.testing.assert_close(found.decode(values, sae.W_dec) + sae.b_dec, sae.decode(f), rtol=1e-10, atol=1e-12)
    counted = torch.arange(BATCH) % 3 > 0
    by_row, by_feature = found.counts(values, counted)
    assert torch.equal(by_row, (f > 0).sum(1)) and torch.equal(by_feature, (f > 0)[counted].sum(0))


def test_few_active_entries_make_a_sparse_step_and_many_a_dense_one() -> None:
    for share in (selection.SPARSE_BELOW["cpu"] - 0.01, selection.SPARSE_BELOW["cpu"] + 0.01):
        pre_acts = torch.zeros(100, 100)
        pre_acts.view(-1)[: round(1e4 * share)] = 1
        selected = selection.select_active(pre_acts, torch.full((100,), 0.5))
        assert selected.sparse == (share < selection.SPARSE_BELOW["cpu"])


def test_a_gated_steps_sparse_bits_do_not_follow_the_number_of_threads(monkeypatch) -> None:
    """At a size where torch does use several threads; every loop of ours is split."""
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    found = []
    x = torch.randn(512, 256, generator=torch.Generator().manual_seed(3))
    for threads in (1, 2):
        torch.set_num_threads(threads)
        sae = GatedSAE(GatedConfig(), 256, 2048)
        with torch.no_grad():
            sae.W_enc.copy_(torch.randn(256, 2048, generator=torch.Generator().manual_seed(4)) / 16)
            sae.W_dec.copy_(sae.W_enc.T)
            sae.b_gate.fill_(-1.6)
        step = sae.take_gradients(x, AT)
        assert step.sparse and step.l0() > 50
        found.append(gradients(step) | {"terms": torch.tensor(step.terms(), dtype=torch.float64)})
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


class Squared(GatedSAE):
    """Other activations than its parent's, which has a derivative of its own."""

    def activations(self, pre_acts: PreActs, parameters: Mapping[str, Tensor], at: StepContext | None) -> Values:
        values = super().activations(pre_acts, parameters, at)
        return {"f": values["f"].square(), "gate": values["gate"]}


def test_an_architecture_made_of_another_is_not_given_its_derivative(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    sae = Squared(GatedConfig(), D_IN, D_SAE).double()
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    expected, found = by_autograd(sae, inputs()), written_out(sae, inputs(), True, monkeypatch)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12)
