"""What progress says of runs, by a clock that a test winds."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.config.schema import RunConfig
from pipeline.monitoring import progress as progress_module
from pipeline.monitoring.naming import short_names, without_the_middle
from pipeline.monitoring.progress import Progress
from pipeline.monitoring.progress_shown import table
from pipeline.records.identity import run_name
from pipeline.training.trainer import Trainer
from tests.pack.test_pack import TRAIN, make_run


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Taken:
    """A trainer after so many steps."""

    def __init__(self, step: int) -> None:
        self.step, self.history = step, [{"l0": 20.0, "loss": 0.5}]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(tiny_model: Path, tiny_text: Path) -> list[RunConfig]:
    """Two runs of one pack, the second twice as long, and one that waits."""
    steps = (100, 200, 100)
    return [
        make_run(tiny_model, tiny_text, train=replace(TRAIN, steps=count), sparsity_coefficient=float(place))
        for place, count in enumerate(steps)
    ]


def advance(progress: Progress, run: RunConfig, step: int) -> None:
    trainer: Trainer = Taken(step)  # type: ignore[assignment]
    progress.advance(run, trainer)


def in_training(runs: list[RunConfig], clock: Clock, folder: Path) -> Progress:
    """The pack after ten seconds, in which either of its runs took 50 steps."""
    progress = Progress(runs, clock)
    pack = [(run, folder / run_name(run)) for run in runs[:2]]
    for phase in ("loading", "activations", "training"):
        progress.enter(phase, pack)
    for run in runs[:2]:
        progress.begin(run, 0)
    clock.seconds += 10
    for run in runs[:2]:
        advance(progress, run, 50)
    return progress


def test_a_pack_is_trained_when_its_last_run_is(runs, clock, tmp_path):
    progress = in_training(runs, clock, tmp_path)
    assert progress.eta(run_name(runs[0])) == progress.eta(run_name(runs[1])) == 30  # 150 steps at 5 a second
    told = progress.report(run_name(runs[0]))
    assert (told["phase"], told["step"], told["steps_per_second"]) == ("training", 50, 5.0)
    assert told["tokens_per_second"] == 5 * TRAIN.batch


def test_the_whole_sweep_has_its_waiting_runs_in_it(runs, clock, tmp_path):
    progress = in_training(runs, clock, tmp_path)
    assert progress.eta_of_all() == 30  # 300 steps left at 10 a second, and no less than the pack
    assert progress.summary() == (
        "0/3 runs recorded | 2 training, 1 waiting | 25 % of all steps | training ends in 30 s"
    )
    advance(progress, runs[0], 99)
    assert "37 % of all steps" in progress.summary(), "rounded down: 100 % is all of them"


def test_an_evaluation_is_no_finished_training(runs, clock, tmp_path):
    progress = in_training(runs[:2], clock, tmp_path)
    progress.enter("evaluating", [(run, tmp_path) for run in runs[:2]])
    assert progress.summary() == "0/2 runs recorded | 2 evaluating | all steps are done | evaluation goes on"
    assert progress.eta(run_name(runs[0])) is None
    clock.seconds += 30
    progress.evaluated(runs[:2], 0.25)
    assert progress.eta(run_name(runs[0])) == 90
    assert progress.summary().endswith("2 evaluating | all steps are done | evaluation ends in 1 min 30 s")
    progress.finished(runs[0], {"l0": 1.0, "loss_recovered": 0.5})
    progress.failed(runs[1], "no reason")
    assert progress.summary() == "1/2 runs recorded, 1 failed"


def test_a_resumed_run_replaces_what_was_left_and_counts_its_own_steps(runs, clock, tmp_path):
    old = tmp_path / "progress.json"
    old.write_text(json.dumps({"step": 90, "steps": 100, "time": time.time() - 5, "phase": "training"}))
    progress = Progress(runs[:1], clock)
    progress.enter("loading", [(runs[0], tmp_path)])
    told = json.loads(old.read_text())
    assert (told["phase"], told["step"], told["eta_seconds"], told["l0"]) == ("loading", 0, None, None)
    progress.begin(runs[0], 40)
    assert progress.eta(run_name(runs[0])) is None, "nothing is known of its speed"
    clock.seconds += 10
    advance(progress, runs[0], 60)
    assert progress.eta(run_name(runs[0])) == 20


def test_another_process_is_believed_for_what_it_says_now(runs, clock):
    progress, name = Progress(runs, clock), run_name(runs[0])
    told = {
        "phase": "training", "step": 50, "steps": 100, "share": 0.0, "l0": 3.0, "loss": 0.1, "steps_per_second": 5.0,
        "tokens_per_second": 160.0, "eta_seconds": 10.0,
    }  # fmt: skip
    progress.observe(name, told | {"time": time.time() - 3600})
    assert progress.runs[name].state == "waiting", "an earlier launch left it"
    progress.observe(name, told | {"time": time.time()})
    assert progress.report(name) == told
    assert progress.eta_of_all() == 70  # 350 steps left of all three at 5 a second
    progress._opened -= 7200
    progress.observe(name, told | {"time": time.time() - 3600})
    assert progress.runs[name].state == "waiting", "its process has died"


def shown(working: dict[str, dict[str, object]], width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False).print(table("title", working, width))
    return stream.getvalue().splitlines()


def standing(step: int) -> dict[str, object]:
    return {
        "phase": "evaluating" if step == 5000 else "training", "step": step, "steps": 5000, "share": 0.45, "l0": 123.4,
        "loss": 0.01234, "tokens_per_second": 123456.0, "eta_seconds": 4000.0,
    }  # fmt: skip


def test_names_shrink_and_numbers_stay():
    sites, hashed = ("attn_z", "resid_post"), "1bace47a2e3e"
    working = {f"bundled-{site}-L2-gated-lam{n}-seed0-{hashed}": standing(1000 * n) for site in sites for n in (4, 5)}
    lines = shown(working, 80)
    assert all(len(line) <= 80 for line in lines) and len(lines) == 6
    for line, name in zip(lines[2:], working, strict=True):
        expected = ["4,000/5,000", "training"] if "lam4" in name else ["5,000/5,000", "evaluating 45 %"]
        assert all(number in line for number in [*expected, "123.4", "0.01234", "123,456", "1 h 06 min"]), line
    assert len({line.split()[0] for line in lines[2:]}) == 4, "names that cannot be told apart"
    assert all("000/5,000" in line and "1 h 06 min" in line for line in shown(working, 60)[2:])
    many = {f"run-{number}": standing(1) for number in range(32)}
    assert shown(many, 80)[-1].split() == ["and", "12", "more"]


def test_short_names():
    names = ["a-x-lam1-seed0-aaa", "a-x-lam2-seed0-bbb"]
    assert short_names(names, 18) == {name: name for name in names}, "there is room"
    assert list(short_names(names, 10).values()) == ["lam1", "lam2"]
    same = ["a-x-lam1-seed0-aaa", "a-x-lam1-seed0-bbb"]
    assert list(short_names(same, 10).values()) == ["aaa", "bbb"]
    assert without_the_middle("0123456789", 7) == "01…6789" and len(without_the_middle("0123456789", 4)) == 4


def test_lines_in_a_log_count_what_they_do_not_show(runs, clock, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress_module.progress_shown, "ROWS_SHOWN", 1)
    progress = in_training(runs, clock, tmp_path)
    for _ in range(4):
        clock.seconds += 15
        progress._maybe_print()
    lines = capsys.readouterr().out.splitlines()
    assert sum("runs recorded" in line for line in lines) == 4
    assert f"  {run_name(runs[0])} training: step 50/100 L0 20.0 loss 0.5 ETA" in lines[-2]
    assert lines[-1] == "  and 1 more"
