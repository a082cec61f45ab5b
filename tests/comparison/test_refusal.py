"""Where loss recovered is refused, and what is then shown."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis.table import read_sweep
from pipeline.comparison.compare import Compared, panels
from pipeline.comparison.refusal import blanked, refusals
from tests.factories import Sweep, Text

REPLICATES = 300


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweeps")


def compared(sweep: Sweep, replicates: int = REPLICATES) -> list[Compared]:
    sweep.write("s")
    return list(panels(read_sweep(sweep.sweeps_dir, "s"), sweep.sweeps_dir, replicates))


@pytest.mark.parametrize(
    ("gap", "spread", "replicates", "refused"),
    [
        (0.5, 0.1, REPLICATES, False), (0.5, 0.1, 0, False), (-0.3, 0.0, REPLICATES, True), (-0.3, 0.0, 0, True),
        (0.02, 0.3, REPLICATES, True), (0.02, 0.0, REPLICATES, False),
    ],
)  # fmt: skip
def test_refused_is_a_gap_that_is_not_clearly_above_zero(
    sweep: Sweep, gap: float, spread: float, replicates: int, refused: bool
) -> None:
    text = Text(gap=gap, spread=spread)
    sweep.arms(text)
    (one,) = compared(sweep, replicates)
    assert set(one.panel.refused) == ({"zero", "mean"} if refused else set())
    lines = [line for line in one.lines if "is refused" in line]
    assert len(lines) == 2 * refused
    if refused:
        cost = float(text.gaps.sum() / text.predictions.sum())
        assert lines[0].startswith(f"loss recovered by zero ablation is refused: ablating costs {cost:.4g} nats")
        assert (" nats (" in lines[0]) == bool(replicates)
    fidelities = [measured.fidelity for measured in one.measured if measured.kind == "ratio"]
    assert fidelities == (["delta_ce"] * 2 if refused else ["zero", "mean"])


def test_without_sequences_the_sign_alone_counts(sweep: Sweep) -> None:
    """A few hundredths of a nat, which twelve documents leave open."""
    text = Text(gap=0.02, spread=0.3)
    sweep.arms(text)
    (one,), (bare,) = compared(sweep), compared(sweep, 0)
    assert one.panel.refused and bool(bare.panel.refused) == (text.gaps.sum() <= 0)


def test_one_ablation_may_be_refused_alone(sweep: Sweep) -> None:
    for arm, factor in (("gated", 1), ("baseline", 2)):
        for number, recovered in enumerate((0.6, 0.8)):
            sweep.run(arm, 2 - number, factor * 5 * 2**number, recovered)
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s")
    runs["ce_mean"] = runs["ce_clean"] - 0.01
    (one,) = panels(runs, None, 0)
    assert set(one.panel.refused) == {"mean"}
    assert [measured.fidelity for measured in one.measured] == ["zero", "delta_ce", "delta_ce"]


def test_unknown_costs_refuse_nothing(sweep: Sweep) -> None:
    sweep.arms()
    sweep.write("s")
    runs = read_sweep(sweep.sweeps_dir, "s").assign(ce_zero=np.nan, ce_mean=np.nan)
    (one,) = panels(runs, None, 0)
    assert refusals(one.panel) == {}


def test_what_is_refused_is_blank_in_its_panel_alone(sweep: Sweep) -> None:
    sweep.arms(Text(seed=1, gap=-0.3))
    sweep.arms(site="attn_z")
    found = compared(sweep)
    runs = read_sweep(sweep.sweeps_dir, "s")
    shown = blanked(runs, [one.panel for one in found])
    for name in ("loss_recovered", "loss_recovered_mean_ablation"):
        assert (shown[name].isna() == (runs["site"] == "mlp_out")).all() and runs[name].notna().all()
    assert shown["ce_sae"].equals(runs["ce_sae"])
