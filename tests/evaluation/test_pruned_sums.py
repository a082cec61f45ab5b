"""Activations below a threshold count as zero: against the definition, and where they matter not."""

import threading
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from pipeline.evaluation.evaluate import Candidate, evaluate
from pipeline.evaluation.sums import UNTOUCHED, EvaluationSums, stack_sums
from pipeline.sae.architectures.baseline import BaselineConfig, BaselineSAE
from pipeline.sae.architectures.gated import GatedConfig, GatedSAE
from pipeline.sae.base import SAE
from pipeline.tokens.contexts import Contexts

SEQUENCES, POSITIONS, D_IN = 8, 6, 5
TINY = 1e-3


@pytest.fixture(params=["baseline", "gated"])
def sae(request) -> SAE:
    """A pair of features a coordinate reconstructs it; another fires below TINY wherever it is above zero."""
    kind = BaselineSAE(BaselineConfig(), D_IN, 3 * D_IN) if request.param == "baseline" else None
    sae = kind or GatedSAE(GatedConfig(), D_IN, 3 * D_IN)
    sae.requires_grad_(False)
    directions = torch.cat([torch.eye(D_IN), -torch.eye(D_IN), torch.eye(D_IN)])
    sae.W_dec.copy_(directions)
    sae.W_enc.copy_(directions.T * torch.tensor([1.0] * 2 * D_IN + [TINY / 10] * D_IN))
    return sae


@pytest.fixture
def x() -> Tensor:
    """No coordinate near zero."""
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(SEQUENCES, POSITIONS, D_IN, generator=generator)
    return values + 0.1 * values.sign()


class Model:
    """Its activations are given, and a splice costs the squared error at each position."""

    device = torch.device("cpu")

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def prefix(self, tokens: Tensor, hooks: Sequence[str]) -> SimpleNamespace:
        return SimpleNamespace(rows=tokens[:, 0], activations=dict.fromkeys(hooks, self.x[tokens[:, 0]]))

    def spliced(self, prefix: SimpleNamespace, hook: str, replacement: Tensor, where: Tensor) -> Tensor:
        return (replacement - self.x[prefix.rows]).square().sum(2)[:, :-1]


def sums_of(sae: SAE, x: Tensor, thresholds: Sequence[float]) -> list[dict[str, Tensor]]:
    """Tokens are the numbers of the sequences, for the model to know them by."""
    tokens = torch.arange(SEQUENCES)[:, None].expand(-1, POSITIONS)
    contexts = Contexts(tokens, torch.zeros(SEQUENCES, POSITIONS, dtype=torch.bool), torch.zeros(SEQUENCES, dtype=int))
    candidates = {"one": Candidate("hook", sae, thresholds)}
    return evaluate(Model(x), contexts, 4, candidates, threading.Event())["one"]  # type: ignore[arg-type]


def test_a_threshold_below_every_activation_changes_nothing(sae: SAE, x: Tensor) -> None:
    as_it_is, pruned = sums_of(sae, x, [1e-30])
    assert all(torch.equal(pruned[name], value) for name, value in as_it_is.items())


def test_tiny_activations_that_matter_not(sae: SAE, x: Tensor) -> None:
    """L0 falls to the features that reconstruct, and the loss stays."""
    as_it_is, pruned = sums_of(sae, x, [TINY])
    positions = SEQUENCES * POSITIONS
    tiny = int((x > 0).sum())
    assert int(pruned["l0"].sum()) == positions * D_IN
    assert int(as_it_is["l0"].sum()) == positions * D_IN + tiny and tiny > positions
    scale = sums_of(sae, x, [1e9])[1]["ce_sae"].sum()  # everything is pruned: only b_dec, which is zero, is left
    torch.testing.assert_close(scale, x[:, :-1].double().square().sum(), rtol=1e-5, atol=0)
    assert abs(float(as_it_is["ce_sae"].sum() - pruned["ce_sae"].sum())) < 1e-6 * float(scale)
    assert not pruned["feature_counts"][2 * D_IN :].any() and as_it_is["feature_counts"][2 * D_IN :].all()


@pytest.mark.parametrize("below", [0.3, 1.0])
def test_pruned_sums_equal_their_definition(below: float, sae: SAE, x: Tensor) -> None:
    pruned = sums_of(sae, x, [0.1, below])[2]
    f = sae.encode(x.flatten(0, 1))
    kept = torch.where(f >= below, f, 0.0)
    x_hat = sae.decode(kept).view_as(x)
    assert 0 < int((kept > 0).sum()) < int((f > 0).sum())
    torch.testing.assert_close(pruned["l0"], (kept > 0).sum(1).view(SEQUENCES, -1).sum(1).double())
    torch.testing.assert_close(pruned["error"], (x_hat - x).double().square().sum((1, 2)), rtol=1e-5, atol=1e-8)
    assert torch.equal(pruned["feature_counts"], (kept > 0).sum(0))


def test_pruning_hides_no_activation_that_is_not_a_number(sae: SAE, x: Tensor) -> None:
    sums = EvaluationSums(sae, SEQUENCES, below=0.5)
    pairs, f = sae.encode_sparse(x.flatten(0, 1))
    f[0] = torch.nan
    sums.add(slice(0, SEQUENCES), x, (pairs, f), torch.zeros(SEQUENCES, POSITIONS, dtype=torch.bool))
    assert sums.tensors()["error"].isnan().any()


def test_what_is_stored_beside_an_sae_as_it_is(sae: SAE, x: Tensor) -> None:
    sums = sums_of(sae, x, [0.1, 0.3])
    stored = stack_sums(sums)
    assert stack_sums(sums[:1]) == sums[0]
    assert {name for name in stored if name.startswith("pruned_")} == {
        f"pruned_{name}" for name in sums[0] if name not in UNTOUCHED
    }
    assert stored["pruned_l0"].shape == (2, SEQUENCES)
    assert all(torch.equal(stored[f"pruned_{name}"][1], sums[2][name]) for name in ("l0", "ce_sae", "feature_counts"))
    assert all(torch.equal(each[name], sums[0][name]) for each in sums for name in UNTOUCHED)
