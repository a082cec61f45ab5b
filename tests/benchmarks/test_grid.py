"""The grid's work, the times of its phases, and the loss that everyone is judged by."""

import json
import time

import pytest
import torch

from benchmarks import grid
from benchmarks.grid_judge import loss, ratios
from benchmarks.grid_work import Work
from benchmarks.options import Options
from benchmarks.peer_timing import Phases
from benchmarks.table import Table
from benchmarks.untrained import LAMBDA, trainer
from pipeline.errors import UserError
from pipeline.sae.objective import StepContext


@pytest.fixture
def options(tmp_path):
    return Options(False, 1, "cpu", tmp_path)


def test_the_long_form_is_the_one_the_bar_asks_for(options, tmp_path):
    work = grid.work(options, grid.LEARNING_RATES)
    assert [arm for _, arm, _ in work.runs()].count("gated") == 8 and len(list(work.runs())) == 16
    assert work.training_tokens >= 20 * work.held_out_tokens
    work.write(tmp_path)
    assert Work.read(tmp_path) == work


@pytest.mark.parametrize("architecture", ["gated", "baseline"])
def test_the_judges_loss_is_the_training_loss_whatever_the_scale_and_the_decoders_norm(architecture):
    torch.manual_seed(0)
    x = torch.randn(512, 16)
    made = trainer(architecture, x, 512, 64, 8)
    sae, scale = made.sae, made.scale
    trained = sae.training_losses(x * scale, StepContext()).total(LAMBDA).item()
    sae.fold_input_scale(scale)
    sae.fold_decoder_norm()
    assert loss(sae, x, scale, LAMBDA) == pytest.approx(trained, rel=1e-5)


def test_our_phases_are_the_mean_over_packs_side_by_side_and_arms_are_told_apart(options, tmp_path):
    work = grid.work(options, grid.LEARNING_RATES)
    for pack, names in enumerate((["gated_unfrozen-lam1", "baseline-lam1"], ["gated_unfrozen-lam2", "baseline-lam2"])):
        seconds = {"load": 2.0, "activations": 10.0 + 10 * pack, "training": 9.0, "evaluation": 4.0}
        for name in names:
            fact = {"pack": names, "pack_seconds": seconds, "peak_memory_bytes": 100 + pack,
                    "training_seconds": 6.0 if name.startswith("gated") else 1.0}  # fmt: skip
            folder = tmp_path / "sweeps" / "runs" / f"bundled-mlp_out-L2-{name}-seed0-0123"
            folder.mkdir(parents=True)
            (folder / "execution.json").write_text(json.dumps({"attempts": [fact]}))
    result = grid.our_result(work, tmp_path, grid.best(work))
    assert result.by_arm == {"gated": 6.0, "baseline": 1.0} and result.peak_memory == 201
    assert result.phases["language model"] == 15.0 and result.phases["stream and loop"] == 2.0
    assert result.settings["processes"] == 2


def test_our_loss_is_set_against_each_peers_by_arm(options):
    judged = Table("x", "x", dict.fromkeys(["tool", "architecture", "lambda", "loss"], "{}"))
    for tool, factor in (("ours", 1.0), ("SAELens", 2.0), ("dictionary_learning", 0.5)):
        for arm, value in (("gated", 1.0), ("gated", 2.0), ("baseline", 1.0)):
            more = 2.0 if (tool, arm) == ("SAELens", "baseline") else 1.0
            judged.add(tool=tool, architecture=arm, loss=10 * value * factor * more, **{"lambda": value})
    assert ratios(judged, options) == {"loss_saelens": 0.5, "loss_dictionary_learning": 2.0}


def test_an_inner_phase_is_taken_from_the_one_around_it():
    class Model:
        def forward(self) -> None:
            time.sleep(0.05)

    phases = Phases()
    phases.wrap(Model, "forward", lambda _: "language model")
    with phases.phase("loop"):
        Model().forward()
        time.sleep(0.01)
    assert phases.seconds["language model"] >= 0.05
    assert 0.01 <= phases.seconds["loop"] < 0.05


@pytest.mark.parametrize("word", ["peers=SAElens", "peers=", "peer=SAELens"])
def test_a_peer_that_there_is_not_is_named(word):
    with pytest.raises(UserError, match="unknown"):
        grid.start([word])
