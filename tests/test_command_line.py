"""The commands as users type them: subprocesses of the real scripts on a tiny model."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hydra  # noqa: F401  once, for all forks
import pytest
import yaml

from pipeline.records import record

ROOT = Path(__file__).resolve().parent.parent
RUN = [sys.executable, "pipeline/run.py"]
SMALL = [
    "site=mlp_out", "layer=1", "train.steps=40", "train.batch=32", "train.block=600", "train.lm_batch=4",
    "train.calibration=300", "train.lr_warmup=5", "eval.sequences=8", "eval.batch=4", "execution.history_every=10",
]  # fmt: skip


def forked(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of the command in a fork of this process, which has imported what takes it seconds."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            code = 1
            try:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                sys.stdout, sys.stderr = (open(fd, "w", closefd=False) for fd in (1, 2))  # noqa: SIM115
                sys.argv = ["pipeline/run.py", *arguments]
                from pipeline.run import main

                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read()


def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*RUN, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def tiny(tiny_model: Path, tiny_text: Path, tmp_path: Path) -> list[str]:
    """Arguments that train on the tiny model and write below a temporary folder."""
    return [
        "model=local", f"model.path={tiny_model}", "model.context=32", "data=files", f"data.path={tiny_text}",
        f"execution.sweeps_dir={tmp_path}/sweeps", *SMALL,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train.stepz=3"], ["train.stepz", "train.steps"]),
        (["stie=mlp_out"], ["stie", "site"]),
        (["site=mlp_outt"], ["site=mlp_outt", "mlp_out"]),
        (["architecture=gatd"], ["architecture=gatd", "gated"]),
        (["layer=9"], ["layer=9", "0 to"]),
        (["layer=1.5"], ["layer=1.5", "whole number"]),
        (["train.steps=many"], ["train.steps", "many"]),
        (["site.hook='blocks.{layer}.hook_mlp'"], ["hook_mlp", "hook_mlp_out"]),
        (["site.hook=blocks.{layer}.hook_mlp"], ["site.hook=blocks", "quote"]),
        (["seed=1", "seed=2"], ["seed", "twice"]),
        (["seed=1", "++seed=2"], ["seed", "twice"]),
        (["sweep=smoke"], ["sweep=smoke", "-m"]),
        (["-m", "sweep=smoke,gated_vs_baseline"], ["sweep=smoke,gated_vs_baseline"]),
        (["-m", "sweep=smok"], ["smok", "smoke"]),
        (["train.input_scale=one"], ["train.input_scale=one", "sqrt_d_in"]),
        (["train.precision=float8"], ["train.precision=float8", "bfloat16"]),
        (["train.encoder_norm=0"], ["train.encoder_norm", "above 0"]),
        (["train.data_directions=1"], ["train.data_directions", "below 1"]),
        (["architecture.expansion=wide"], ["architecture.expansion", "wide"]),
        (["execution.device=tpu9"], ["tpu9"]),
        (["model=local", "model.path=/no/such/folder"], ["/no/such/folder", "Hugging Face folder"]),
        (["model=local"], ["model.path"]),
        (["eval.sequences=30"], ["eval.sequences=30", "eval.batch"]),
        (["eval.prune_below=[0.2,0.1]"], ["eval.prune_below=[0.2, 0.1]", "from small to large"]),
        (["eval.prune_below=[0]"], ["eval.prune_below[0]=0", "above 0"]),
        (["eval.prune_below=0.1"], ["eval.prune_below", "a list"]),
        (["data=pile", "data.revision=null"], ["data.revision", "pinned"]),
        (["data=files", "data.path=/no/such/text"], ["/no/such/text"]),
    ],
)
def test_a_mistake_is_one_line_before_any_training(arguments, expected, tmp_path):
    code, said = forked(*arguments, *([] if "-m" in arguments else [f"execution.sweeps_dir={tmp_path}"]))
    lines = said.strip().splitlines()
    assert code == 2 and len(lines) == 1, said
    assert lines[0].startswith("error: ")
    for text in expected:
        assert text in lines[0], lines[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_hydras_own_options_work():
    assert "sparsity_coefficient" in run("--help").stdout
    config = run("--cfg", "job", "architecture=baseline", "train.lr=0.5").stdout
    assert "name: baseline" in config and "lr: 0.5" in config


def test_it_runs_as_a_module_from_another_folder(tmp_path):
    command = [sys.executable, "-m", "pipeline.run", "--cfg", "job", "seed=3"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert "seed: 3" in done.stdout, done.stderr


def test_tab_completion_knows_sweeps():
    environment = os.environ | {"COMP_LINE": "python pipeline/run.py sweep=sm", "COMP_POINT": "31"}
    done = subprocess.run([*RUN, "-sc", "query=bash"], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert "sweep=smoke" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_one_run_then_again_then_a_grid(tiny, tmp_path):
    first = run(*tiny, "architecture=gated", "sparsity_coefficient=2")
    assert "1 runs: 0 done" in first.stdout
    again = run(*tiny, "architecture=gated", "sparsity_coefficient=2")
    assert "1 runs: 1 done" in again.stdout
    grid = run("-m", *tiny, "architecture=baseline,gated", "sparsity_coefficient=2,4")
    assert "4 runs: 1 done" in grid.stdout
    folders = sorted((tmp_path / "sweeps" / "runs").iterdir())
    assert len(folders) == 4
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert {"config.yaml", "cfg.json", "sae_weights.safetensors", "metrics.json", "sequences.safetensors"} <= names
        assert {"history.csv", "execution.json", "log.txt"} <= names and not {"checkpoints", "failure.json"} & names
        assert len(list(csv.DictReader((folder / "history.csv").open()))) == 4
        shape = {name: json.loads((folder / "cfg.json").read_text())[name] for name in ("d_in", "d_sae")}
        train = yaml.safe_load((folder / "config.yaml").read_text())["train"]
        took = json.loads((folder / "execution.json").read_text())["attempts"][-1]
        assert took["encoder_flops"] == 2 * train["steps"] * train["batch"] * shape["d_in"] * shape["d_sae"]
        facts = json.loads((folder / "metrics.json").read_text())["training"]
        assert facts["dense_flops"] == (7 if "gated" in folder.name else 5) * took["encoder_flops"]
        assert took["encoder_flops"] < facts["training_flops"] <= facts["dense_flops"]
        assert set(took["pack_seconds"]) >= {"load", "activations", "training", "evaluation"}
        assert took["training_seconds"] > 0 and took["peak_memory_bytes"] > 1e8
    assert not (ROOT / "outputs").exists() and not (ROOT / "multirun").exists()


@pytest.mark.slow
def test_a_users_own_defaults_and_a_tracker(tiny, tmp_path):
    """In a copy of conf/, by a command that is told of it: the checkout's own files are the user's."""
    copy = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", copy, ignore=shutil.ignore_patterns("local"))
    (copy / "local").mkdir()
    (copy / "local" / "default.yaml").write_text("# @package _global_\nseed: 7\ntracker: {name: tensorboard}\n")
    script = (
        "import sys; from pathlib import Path; from pipeline.cli import groups;"
        "groups.FOLDERS = (Path(sys.argv.pop(1)),);"
        "from pipeline.run import main; main()"
    )
    command = [sys.executable, "-c", script, str(copy), *tiny]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "-seed7-" in done.stdout, done.stdout + done.stderr
    assert list((tmp_path / "sweeps" / "runs").glob("*/tensorboard/events*"))


@pytest.mark.slow
def test_plan_prints_cost_and_trains_nothing(tiny, tmp_path):
    planned = run("-m", *tiny, "architecture=baseline,gated", "plan=true").stdout
    assert re.search(
        r"2 runs to train in 1 packs, 1 at once .*memory .* GB, disk .* GB while .* GB afterwards, about .* GFLOP/s",
        planned,
    ), planned
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.slow
def test_a_failed_run_is_named_and_tried_again_only_when_asked(tiny, tmp_path):
    arguments = ["-m", *tiny, "architecture=gated", "train.lr=1e30,1e-3"]
    first = run(*arguments, check=False)
    assert first.returncode == 1 and "TrainingDiverged" in first.stdout
    assert len(list((tmp_path / "sweeps/runs").glob("*/metrics.json"))) == 1
    second = run(*arguments, check=False)
    assert second.returncode == 1 and "1 failed before" in second.stdout and "retry_failed" in second.stdout
    third = run(*arguments, "execution.retry_failed=true", check=False)
    assert third.returncode == 1 and "TrainingDiverged" in third.stdout


def interrupted(arguments: list[str], number: int, ready: Path, but: str = "") -> tuple[int, str]:
    """Start a command, wait for a checkpoint below `ready` after `but`, send a signal; exit code and output."""
    process = subprocess.Popen(
        [*RUN, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for _ in range(600):
        saved = [path.stem for path in ready.glob("runs/*/checkpoints/*.json")]
        if max(saved, default="") > but or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


@pytest.mark.slow
def test_a_single_run_stopped_or_killed_and_started_again_equals_never_stopped(tiny, tmp_path):
    """Both in turn; packs of a sweep are stopped in tests/launching."""
    long = [a for a in tiny if not a.startswith(("train.steps", "execution.sweeps_dir"))]
    long = [*long, "train.steps=2500", "architecture=gated", "execution.checkpoint_seconds=0.2"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    code, output = interrupted([*long, f"execution.sweeps_dir={cut}"], signal.SIGINT, cut)
    assert code == 130 and "the same command continues" in output, output
    saved = max(path.stem for path in cut.glob("runs/*/checkpoints/*.json"))
    code, output = interrupted([*long, f"execution.sweeps_dir={cut}"], signal.SIGKILL, cut, but=saved)
    assert code == -9 and "1 to resume" in output and "resumed at step" in output, output
    resumed = run(*long, f"execution.sweeps_dir={cut}")
    assert "1 to resume" in resumed.stdout and "resumed at step" in resumed.stdout
    run(*long, f"execution.sweeps_dir={whole}")
    for folder in (whole / "runs").iterdir():
        for name in (record.METRICS, record.SEQUENCES, record.HISTORY, "sae_weights.safetensors"):
            assert (folder / name).read_bytes() == (cut / "runs" / folder.name / name).read_bytes(), name
