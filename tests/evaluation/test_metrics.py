"""Metrics against their definitions: ratios of pooled sums over the positions that count, unclipped."""

import csv
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.evaluation.metrics import (
    DENSITY_EDGES,
    alive_rule,
    density,
    effective_width,
    gammas,
    loss_recovered,
    metrics,
    tokens_needed,
)
from pipeline.evaluation.references import counted_predictions, summed
from pipeline.evaluation.sums import PER_SEQUENCE, EvaluationSums
from pipeline.sae.architectures.gated import GatedConfig, GatedSAE

SEQUENCES, POSITIONS, D_IN, D_SAE = 12, 7, 5, 30
TABLES = Path(__file__).resolve().parents[2] / "docs" / "gated_paper_tables.csv"


@pytest.fixture
def sae() -> GatedSAE:
    """In float64; reconstructs a little of what it reads, and some of its features never fire."""
    generator = torch.Generator().manual_seed(0)
    sae = GatedSAE(GatedConfig(), D_IN, D_SAE).double().requires_grad_(False)
    for parameter in sae.parameters():
        parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    sae.W_enc += 0.5 * sae.W_dec.T
    sae.b_gate[:4] = -1e9
    return sae


@pytest.fixture
def special() -> Tensor:
    """The first position of every sequence, and one more in some."""
    mask = torch.zeros(SEQUENCES, POSITIONS, dtype=torch.bool)
    mask[:, 0] = True
    mask[[2, 5, 11], [3, 6, 1]] = True
    return mask


@pytest.fixture
def x(special: Tensor) -> Tensor:
    """Off centre, and a hundred times as large at special positions, as BOS often is."""
    generator = torch.Generator().manual_seed(1)
    x = 0.8 + torch.randn(SEQUENCES, POSITIONS, D_IN, generator=generator, dtype=torch.float64)
    return torch.where(special[..., None], 100 * x, x)


def accumulate(sae: GatedSAE, x: Tensor, special: Tensor, cuts: list[int]) -> dict[str, Tensor]:
    """Sums over batches that end at `cuts`."""
    sums = EvaluationSums(sae, len(x))
    for start, end in zip([0, *cuts], [*cuts, len(x)], strict=True):
        rows = slice(start, end)
        reconstruction = sums.add(rows, x[rows], sae.encode_sparse(x[rows].flatten(0, 1)), special[rows])
        torch.testing.assert_close(reconstruction, sae(x[rows].flatten(0, 1)).view_as(x[rows]), equal_nan=True)
        sums.put_cross_entropy(rows, torch.arange(start, end, dtype=torch.float64))
    return sums.tensors()


def all_metrics(sums: dict[str, Tensor]) -> dict:
    return metrics(sums, predictions=60, ce_clean=60.0, ce_zero=600.0, ce_mean=300.0, alive_frequency=0.5)


# ------------------------------------------------------------------------------------------------------- loss recovered


@pytest.mark.parametrize(
    ("ce_sae", "expected"), [(2.0, 1.0), (12.0, 0.0), (3.0, 0.9), (1.5, 1.05), (20.0, -0.8), (-8.0, 2.0)]
)
def test_loss_recovered_is_not_clipped(ce_sae: float, expected: float) -> None:
    assert loss_recovered(2.0, ce_sae, 12.0) == pytest.approx(expected)


def test_loss_recovered_holds_where_ablation_helps() -> None:
    """Gemma's attention at layer 27: the denominator may be negative."""
    assert loss_recovered(2.0, 1.9, 1.8) == pytest.approx(0.5)


def test_loss_recovered_is_nan_where_ablation_changes_nothing() -> None:
    assert math.isnan(loss_recovered(2.0, 2.5, 2.0))


def test_loss_recovered_is_that_of_the_paper_in_all_its_rows() -> None:
    """Tables 1-8, 283 rows: cross-entropies are printed to 1e-4, loss recovered too."""
    with TABLES.open() as file:
        rows = list(csv.DictReader(file))
    plain = [row for row in rows if not row["note"]]
    assert len(rows) == 283 and len(plain) > 270
    for row in plain:
        clean, sae, zero = (float(row[name]) for name in ("ce_clean", "ce_sae", "ce_zero"))
        printed = float(row["loss_recovered"])
        rounding = 0.5e-4 + 1e-4 * (1 + abs(printed)) / abs(zero - clean)
        assert loss_recovered(clean, sae, zero) == pytest.approx(printed, abs=rounding), row


# ---------------------------------------------------------------------------------------------------------------- gamma


def test_gamma_is_the_argmin_of_the_rescaled_error() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(200, 6, generator=generator, dtype=torch.float64)
    x_hat = 0.8 * x + 0.3 * torch.randn(200, 6, generator=generator, dtype=torch.float64)
    grid = torch.linspace(0.5, 1.5, 4001, dtype=torch.float64)
    errors = torch.stack([(x_hat / g - x).square().sum() for g in grid])
    found = gammas(*moments(x, x_hat))
    assert found["gamma"] == pytest.approx(grid[errors.argmin()].item(), abs=1.3e-4)
    forward = torch.stack([(x_hat - g * x).square().sum() for g in grid])
    assert found["gamma_dot"] == pytest.approx(grid[forward.argmin()].item(), abs=1.3e-4)


def moments(x: Tensor, x_hat: Tensor) -> tuple[float, float, float, float]:
    pairs = ((x, x), (x_hat, x_hat), (x, x_hat), (x - x_hat, x - x_hat))
    x_x, xhat_xhat, x_xhat, error = ((a * b).sum().item() for a, b in pairs)
    return x_x, xhat_xhat, x_xhat, error


def test_three_gammas_of_halved_inputs() -> None:
    """Marks' check, x = 1 and x_hat = 1/2: only the first version's form, 1 / sqrt(3), misses the half."""
    found = gammas(*moments(torch.ones(1, 1), torch.full((1, 1), 0.5)))
    assert found == pytest.approx({"gamma": 0.5, "gamma_dot": 0.5, "gamma_rms": 1 / math.sqrt(3)})


@pytest.mark.parametrize("shrinkage", [0.3, 0.7, 1.0, 1.2])
def test_two_versions_of_gamma_determine_each_other(shrinkage: float) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(100, 6, generator=generator, dtype=torch.float64)
    x_hat = shrinkage * (x + 0.2 * torch.randn(100, 6, generator=generator, dtype=torch.float64))
    found = gammas(*moments(x, x_hat))
    assert found["gamma"] == pytest.approx(2 * found["gamma_rms"] ** 2 / (1 + found["gamma_rms"] ** 2))


def test_unbiased_reconstruction_has_gamma_one() -> None:
    """An error orthogonal to the reconstruction cannot be mended by rescaling it."""
    x_hat = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    x = x_hat + torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    found = gammas(*moments(x, x_hat))
    assert found["gamma"] == found["gamma_rms"] == 1 and found["gamma_dot"] < 1


def test_gammas_are_nan_where_they_do_not_exist() -> None:
    nothing = gammas(x_x=1.0, xhat_xhat=0.0, x_xhat=0.0, error=1.0)
    assert math.isnan(nothing["gamma"]) and nothing["gamma_dot"] == 0
    opposite = gammas(*moments(torch.ones(1, 1), -torch.ones(1, 1)))
    assert math.isnan(opposite["gamma_rms"])


# ------------------------------------------------------------------------------------------- sums and special positions


def test_metrics_equal_their_definitions_on_the_positions_that_count(sae: GatedSAE, x: Tensor, special: Tensor) -> None:
    rows = x[~special]
    f, x_hat = sae.encode(rows), sae(rows)
    error = (x_hat - rows).square().sum()
    expected = {
        "l0": (f > 0).sum(1).double().mean().item(),
        "fvu": (error / (rows - rows.mean(0)).square().sum()).item(),
        "gamma": (x_hat.square().sum() / (x_hat * rows).sum()).item(),
        "gamma_rms": (x_hat.square().sum() / (rows.square().sum() - error)).sqrt().item(),
        "cosine": torch.cosine_similarity(rows, x_hat).mean().item(),
        "norm_ratio": (x_hat.norm(dim=1) / rows.norm(dim=1)).mean().item(),
        "alive_fraction": ((f > 0).double().mean(0) >= 0.5).double().mean().item(),
        "dead_fraction": ((f > 0).double().mean(0) < 0.5).double().mean().item(),
        "fired_fraction": (f > 0).any(0).double().mean().item(),
        "evaluation_tokens": len(rows),
    }
    assert 0 < expected["alive_fraction"] < expected["fired_fraction"] < 1
    found = all_metrics(accumulate(sae, x, special, [4, 8]))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-10)


def test_special_positions_change_nothing(sae: GatedSAE, x: Tensor, special: Tensor) -> None:
    moved = torch.where(special[..., None], -50 * x + 3, x)
    one, other = accumulate(sae, x, special, []), accumulate(sae, moved, special, [])
    assert all(torch.equal(other[name], value) for name, value in one.items())
    overflown = accumulate(sae, torch.where(special[..., None], torch.inf, x), special, [])
    assert all(torch.equal(overflown[name], value) for name, value in one.items())
    counting_all = accumulate(sae, x, torch.zeros_like(special), [])
    assert all_metrics(counting_all)["fvu"] != pytest.approx(all_metrics(one)["fvu"], rel=0.01)


def test_a_feature_that_fires_at_special_positions_alone_is_dead(sae: GatedSAE, x: Tensor, special: Tensor) -> None:
    with torch.no_grad():
        sae.W_enc[:, 0], sae.r_mag[0], sae.b_gate[0], sae.b_mag[0] = 1.0, 0.0, -50.0, 0.0
    assert (sae.encode(x[special])[:, 0] > 0).any()
    assert accumulate(sae, x, special, [])["feature_counts"][0] == 0
    assert accumulate(sae, x, torch.zeros_like(special), [])["feature_counts"][0] > 0


@pytest.mark.parametrize("cuts", [[6], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [5, 11]])
def test_sums_do_not_depend_on_how_batches_are_cut(cuts: list[int], sae: GatedSAE, x: Tensor, special: Tensor) -> None:
    whole, parts = accumulate(sae, x, special, []), accumulate(sae, x, special, cuts)
    assert set(whole) == {*PER_SEQUENCE, "feature_counts", "x_sum"}
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-12, atol=1e-12, msg=name)
    for name in ("tokens", "l0", "feature_counts", "ce_sae"):
        assert torch.equal(parts[name], whole[name])
    for name, value in all_metrics(whole).items():
        assert all_metrics(parts)[name] == pytest.approx(value, rel=1e-11), name


def test_sums_are_kept_for_each_sequence(sae: GatedSAE, x: Tensor, special: Tensor) -> None:
    sums = accumulate(sae, x, special, [4, 8])
    for n in (0, 2, 11):
        rows = x[n][~special[n]]
        error = (sae(rows) - rows).square().sum()
        assert sums["tokens"][n] == len(rows) and sums["ce_sae"][n] == n
        torch.testing.assert_close(sums["error"][n], error)
    assert {value.dtype for name, value in sums.items() if name != "feature_counts"} == {torch.float64}


def test_cross_entropies_are_averaged_over_predictions(sae: GatedSAE, x: Tensor, special: Tensor) -> None:
    """Not over tokens: the last position is spliced but predicts nothing that is known."""
    found = all_metrics(accumulate(sae, x, special, []))
    assert found["ce_sae"] == pytest.approx(66 / 60)
    assert [found[name] for name in ("ce_clean", "ce_zero", "ce_mean")] == [1.0, 10.0, 5.0]
    assert found["loss_recovered"] == pytest.approx((10 - 66 / 60) / 9)
    assert found["loss_recovered_mean_ablation"] == pytest.approx((5 - 66 / 60) / 4)
    assert found["evaluation_predictions"] == 60


def test_predictions_from_special_positions_and_of_special_tokens_are_not_counted() -> None:
    special = torch.tensor([[True, False, False, False, True], [True, False, True, False, False]])
    assert counted_predictions(special).sum(1).tolist() == [2, 1]
    losses = torch.tensor([[100.0, 1.0, 2.0, 20.6], [torch.nan, torch.inf, 1000.0, 4.0]])
    assert summed(losses, special).tolist() == [3.0, 4.0]
    assert summed(losses, special).dtype == torch.float64


def test_ratios_are_of_pooled_sums() -> None:
    """Two sequences of unlike size: the mean of their own ratios would be 0.5 for L0 and for fvu."""
    sums = {name: torch.zeros(2, dtype=torch.float64) for name in PER_SEQUENCE}
    sums |= {"tokens": torch.tensor([1.0, 9.0]), "l0": torch.tensor([1.0, 0.0])}
    sums |= {"x_x": torch.tensor([1.0, 9.0]), "error": torch.tensor([1.0, 0.0])}
    sums |= {"x_sum": torch.zeros(3, dtype=torch.float64), "feature_counts": torch.tensor([1, 0])}
    found = metrics(sums, predictions=8, ce_clean=1.0, ce_zero=2.0, ce_mean=2.0, alive_frequency=0.5)
    assert found["l0"] == pytest.approx(0.1) and found["fvu"] == pytest.approx(0.1)


# -------------------------------------------------------------------------------------------------------------- density


def test_density_counts_each_feature_that_fired_once() -> None:
    tokens = 10_000_000
    counts = torch.tensor([0, 0, 1, 10, 15, 1_000_000, 999_999, tokens])
    found = density(counts, tokens, 0.1)
    assert found["fired_fraction"] == 6 / 8 and found["alive_fraction"] == 2 / 8 and found["dead_fraction"] == 6 / 8
    histogram = dict(zip(found["density_log10_edges"][:-1], found["density_counts"], strict=True))
    # 1e-7 joins the lowest bin, with 1e-6 and 1.5e-6; 0.1 lies on an edge and opens its bin; 1 joins the highest.
    assert {edge: n for edge, n in histogram.items() if n} == {-6.0: 3, -1.25: 1, -1.0: 1, -0.25: 1}
    assert len(found["density_counts"]) == len(DENSITY_EDGES) - 1


@pytest.mark.parametrize(("frequency", "enough"), [(1e-4, 100_000), (1e-5, 1_000_000), (3e-4, 33_334), (0.5, 20)])
def test_alive_is_a_frequency_and_measured_with_enough_tokens_to_see_it(frequency: float, enough: int) -> None:
    """Ten firings are expected of a feature at the limit; a feature just below it is dead, one token less tells not."""
    assert tokens_needed(frequency) == enough
    limit = math.ceil(round(frequency * enough, 6))
    counts = torch.tensor([0, 1, limit - 1, limit, limit + 1, enough])
    found = density(counts, enough, frequency)
    assert found["alive_fraction"] == 3 / 6 and found["dead_fraction"] == 3 / 6 and found["fired_fraction"] == 5 / 6
    assert alive_rule(frequency, enough) == f"fires on at least {frequency:g} of the held-out tokens"
    fewer = density(counts.clamp(max=enough - 1), enough - 1, frequency)
    assert math.isnan(fewer["alive_fraction"]) and math.isnan(fewer["dead_fraction"])
    assert fewer["fired_fraction"] == 5 / 6 and fewer["effective_width"] == found["effective_width"]
    said = alive_rule(frequency, enough - 1)
    assert said.startswith(f"not measured: {enough - 1:,} held-out tokens, and {enough:,} are needed")


def test_more_tokens_do_not_raise_the_dead() -> None:
    """Of features that fire on 1e-5 of the tokens, ever more have fired; none is alive at 1e-4."""
    generator = torch.Generator().manual_seed(0)
    found = [
        density(torch.poisson(torch.full((1000,), 1e-5 * tokens), generator).long(), tokens, 1e-4)
        for tokens in (100_000, 1_000_000)
    ]
    assert found[0]["fired_fraction"] < 0.7 and found[1]["fired_fraction"] > 0.99
    assert [each["alive_fraction"] for each in found] == [0, 0]


@pytest.mark.parametrize(
    ("counts", "width"),
    [
        ([0, 0], 0), ([5, 0], 1), ([1] * 100, 99), ([99, 1], 1), ([98, 1, 1], 2), ([0, 98, 2, 0], 2),
        ([10**12, 10**10, 1], 1), ([1, 99 * 10**9, 10**9], 2), ([10**9] * 7 + [1] * 1000, 7),
    ],
)  # fmt: skip
def test_effective_width_is_the_fewest_features_that_do_99_percent_of_the_firing(counts: list[int], width: int) -> None:
    shares = sorted(counts, reverse=True)
    brute = next(n for n in range(len(counts) + 1) if 100 * sum(shares[:n]) >= 99 * sum(counts))
    assert effective_width(torch.tensor(counts)) == brute == width


def test_density_of_a_dead_sae_is_empty() -> None:
    found = density(torch.zeros(5, dtype=torch.int64), 100, 0.1)
    assert found["dead_fraction"] == 1 and sum(found["density_counts"]) == 0
    assert found["fired_fraction"] == 0 and found["effective_width"] == 0


def test_density_agrees_with_the_features_that_fired(sae: GatedSAE, x: Tensor, special: Tensor) -> None:
    found = all_metrics(accumulate(sae, x, special, []))
    assert sum(found["density_counts"]) == round(found["fired_fraction"] * D_SAE) <= D_SAE - 4
