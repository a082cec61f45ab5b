"""Command lines and yaml files that cannot be meant: one line that says what would be right, and nothing written."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from pipeline.cli import groups
from pipeline.launching import launch, plan
from pipeline.run import start
from tests.test_command_line import forked

ROOT = Path(__file__).resolve().parent.parent.parent
HEAD, NAME = "# @package _global_\n", "sweep_name: mine\n"
GRIDS = "hydra: {sweeper: {grids: [{architecture: [gated, baseline]}]}}\n"


def grids(text: str) -> str:
    return f"{HEAD}{NAME}hydra: {{sweeper: {{{text}}}}}\n"


@pytest.fixture
def own_conf(tmp_path, monkeypatch) -> Path:
    """A copy of conf/ that a test may write to; the working directory is empty, and whatever appears in it is seen."""
    folder = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", folder, ignore=shutil.ignore_patterns("local"))
    (folder / "local").mkdir()
    monkeypatch.setattr(groups, "FOLDERS", (folder,))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "argv", ["pipeline/run.py"])
    return folder


@pytest.fixture
def refused(own_conf, capsys, monkeypatch) -> Callable[..., None]:
    """Runs a command in this process, up to its launch, and looks at what it says."""
    monkeypatch.setattr(launch, "launch", lambda *arguments, **settings: pytest.fail("it would be launched"))

    def look(words: list[str], *expected: str) -> None:
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as end:
            start(words)
        said = capsys.readouterr()
        assert end.value.code == 2 and not said.out and len(said.err.splitlines()) == 1, said
        assert said.err.startswith("error: ") and all(text in said.err for text in expected), (expected, said.err)
        assert not list(Path().iterdir())

    return look


LINES = [
    # the form of the line
    ("gated", "architecture=gated"), ("sweep smoke", "sweep=VALUE"), ("--foo", "--foo", "--multirun -m"), ("-x", "-x"),
    ("--multi sweep=smoke", "--multi ", "-m"), ("\u2013m sweep=smoke", "\u2013m"), ("''", "KEY=VALUE"), ("=3", "=3"),
    ("a..b=1", "a..b=1"), ("~train.lr", "train.lr"), ("~train", "~train"), ("model@x=gpt2", "model@x"),
    ("seed='a", "quote"),
    ("-m sweep=smoke,", "sweep=smoke,"), ("--cfg", "job"), ("--cfg foo", "job"), ("--resolve", "--cfg"),
    ("-m --cfg job", "--cfg"), ("--package train", "--cfg"), ("seed=1 ++seed=2", "seed", "twice"),
    # groups
    ("train=5", "train=5", "paper"), ("train=[1]", "train=[1]"), ("train=null", "train=null"), ("train=", "train="),
    ("+model=gpt2", "leave out"), ("site/foo=3", "site/foo"), ("local=foo", "local=foo"),
    ("sweep=null", "sweep=null"), ("sweep=../x", "smoke"),
    ("-m sweep=[smoke]", "several sweeps"), ("-m sweep=glob(*)", "several sweeps"), ("sweep=smoke", "-m sweep=smoke"),
    ("+sweep=smoke", "-m"), ("-m site=mlp_out,nowhere", "site=nowhere", "mlp_post"),
    # a grid without -m
    ("seed=1,2", "-m seed=1,2"), ("train.resample.steps=1,2", "train.resample.steps=[1,2]"), ("seed=range(0,3)", "-m"),
    # Hydra's own
    *((f"{key}=x", key, "hydra/launcher") for key in (
        "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra/job_logging",
        "hydra/hydra_logging", "hydra.job.chdir", "hydra.job.env_set.A", "hydra.mode", "hydra.verbose", "hydra/sweeper",
        "+hydra.sweeper.params.seed", "hydra.sweeper.max_batch_size", "hydra/callbacks", "hydra.searchpath", "hydra",
        "hydra.launcher", "hydra.launcher._target_", "hydra/help", "hydra/output",
    )),
    *((f"{flag} x", flag, "--cfg") for flag in (
        "--config-dir", "--config-path", "--config-name", "--experimental-rerun", "-cd", "-cn", "-cp", "--run",
    )),
    ("-m hydra/launcher=basic", "slurm_gpu"), ("hydra.launcher.slots=1", "-m"), ("hydra/launcher=slurm", "-m"),
    ("-m hydra.launcher.foo=1", "hydra.launcher.foo", "slots"), ("-m hydra.sweeper.grids=[1]", "grid"),
    ("-m hydra.sweeper.grids=[]", "empty"), ("-m hydra.sweeper.grids=[{stie:a}]", "site"),
    # one launch, one set of circumstances
    *((f"-m {text}", text.partition("=")[0], "launch") for text in (
        "sweep_name=a,b", "execution.device=cpu,cuda", "execution.sweeps_dir=a,b", "plan=true,false",
        "tracker=none,wandb", "eval.sequences=8,16", "eval=default,pruning", "extend=true,false",
        "hydra/launcher=local,slurm", "hydra.launcher.slots=1,2",
    )),
    ("-m hydra.sweeper.grids=[{execution.device:cpu}]", "execution.device", "launch"),
    # how many
    ("-m seed=range(1,200000)", "199,999", "10,000"), ("-m seed=range(0,300) layer=range(0,300)", "90,000"),
    ("-m train.lr=range(0,1,1e-12)", "1,000,000,000,000"), ("-m seed=range(0,1e99)", "1e+99"),
    ("-m seed=range(5,1)", "no values"), ("-m seed=range(1,2,0)", "no end"), ("-m train.lr=interval(0,1)", "interval"),
    ("plan", "true or false"), ("local=default", "conf/local/default.yaml"),
    ("model.hub_id=x", "but model.path is local"),
    ("architecture=baseline architecture.stop_pre_bias=true", "+architecture.stop_pre_bias"),
    # other programs' words
    ("lambda=4", "sparsity_coefficient?"), ("train.learning_rate=1", "train.lr?"),
    ("d_sae=8", "architecture.expansion?"),
    ("+l1_coefficient=4", "sparsity_coefficient?"),
]  # fmt: skip


def test_lines(refused):
    for line, *expected in LINES:
        words = [] if line == "''" else line.split(" ")
        refused(words or [""], *expected)


ANCHORS = "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
BROKEN = [  # what any file may suffer, after the line # @package, and the line that is named
    ("seed: b: c\n", "line 2", "mapping values"), ("seed: 'a\n", "line "), ("seed: 1\nseed: 2\n", "line 3", "twice"),
    ("train: {lr: 1, lr: 2}\n", "line 2", "lr is given twice"), ("train:\n\tlr: 1\n", "line 3", "\\t"),
    ("[1]\n", "a list"),
    ("5\n", "one value"), ("seed: 1\n# \udcff\n", "line 3", "0xff"), ("seed: \x00\n", "line 2", "#x00"),
    ("seed: !!python/object/apply:os.getpid []\n", "line 2", "python"), ("seed: !mine 1\n", "line 2", "!mine"),
    ("train: &a {lr: *a}\n", "line 2", "itself"), ("a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + ANCHORS, "20,000"),
    ("[" * 3000, "deeply"), ("---\nseed: 1\n---\nseed: 2\n", "another document"), ("seed: *x\n", "line 2", "'x'"),
    ("1: 2\n", "line 2"), ("foo: 1\n", "line 2", "foo is not a setting"), ("train: 5\n", "line 2", "train"),
    ("model: gpt2\n", "line 2", "override /model: gpt2"), ("train: {stepz: 1}\n", "line 2", "train.steps?"),
    ("seed: many\n", "line 2", "seed=many"), ("plan: true\n", "line 2", "command line"),
    ("lambda: 3\n", "line 2", "sparsity_coefficient?"),
    ("hydra: {run: {dir: /tmp}}\n", "line 2", "hydra.run"), ("hydra: 5\n", "line 2", "hydra"),
    ("hydra: {launcher: {_target_: os.system}}\n", "line 2", "_target_"), ("defaults: {a: 1}\n", "line 2", "defaults"),
    ("defaults:\n  - override /hydra/job_logging: default\n", "line 3", "job_logging"),
    ("train: {lr: .nan}\n", "line 2", "train.lr=nan"), ("train:\n  steps: 10\n  lr: -1\n", "line 4", "train.lr=-1"),
    ("model: {name: ../x}\n", "line 2", "model.name=../x"), ("train.lr: 1\n", "line 2", "train: {lr: VALUE}"),
    ("defaults:\n  - override /model: gpt2\n  - override /model: bundled\n", "line 4", "twice"),
    ("hydra: {launcher: {slots: 0}}\n", "line 2", "hydra.launcher.slots=0"),
    ("hydra: {launcher: {slot: 1}}\n", "line 2", "slots?"),
    ("defaults:\n  - override /model: gpt9\n", "line 3", "gpt2?"), ("# " + "x" * 200_000, "200,000 bytes"),
]  # fmt: skip


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))


def test_own_defaults(own_conf, refused):
    path = own_conf / "local" / "default.yaml"
    for text, *expected in [
        *BROKEN, (GRIDS, "line 2", "sweeper"), ("sweep_name: x\n", "line 2", "sweep_name"),
    ]:  # fmt: skip
        write(path, HEAD + text)
        refused([], "conf/local/default.yaml", *expected)
    write(path, "seed: 1\n")
    refused([], "conf/local/default.yaml", "@package _global_")
    write(path, "\ufeff" + HEAD)
    refused([], "conf/local/default.yaml", "byte-order mark")
    path.unlink()
    for put in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/nowhere")):
        put()
        refused([], "conf/local/default.yaml is not a file")
        path.rmdir() if path.is_dir() else path.unlink()


SWEEPS = [
    (NAME + GRIDS, "@package _global_"), (HEAD + NAME, "no grids"), (HEAD + GRIDS, "no name", "sweep_name: mine"),
    (HEAD + "sweep_name:\n" + GRIDS, "line 2", "no name"),
    (HEAD + "sweep_name: ../x\n" + GRIDS, "line 2", "sweep_name"),
    (HEAD + NAME + "grids: [{seed: 0}]\n", "line 3", "hydra.sweeper.grids?"), ("", "@package"),
    (HEAD + NAME + "hydra: {sweeper: }\n", "line 3", "sweeper"), (grids("grids: "), "line 3", "not a list"),
    (grids("grids: []"), "line 3", "empty"), (grids("grids: [1, 2]"), "line 3", "1 is not a grid"),
    (grids("grids: {seed: [0]}"), "line 3", "not a list"), (grids("grids: [{seed: []}]"), "line 3", "no values"),
    (grids("grids: [{stie: [a]}]"), "line 3", "site?"), (grids("grids: [{train: {lr: 1}}]"), "line 3", "train.lr: "),
    (grids("params: [1], grids: [{seed: 0}]"), "line 3", "params"), (grids("grids: [{seed: 0}], size: 1"), "size"),
    (grids("grids: [{architecture: gatd}]"), "line 3", "gated?"), (grids("grids: [{seed: '1,,('}]"), "seed=1,,("),
    (grids("grids: [{execution.device: [cpu, cuda]}]"), "line 3", "execution.device", "launch"),
    (grids("params: {eval.sequences: [8, 16]}, grids: [{seed: 0}]"), "line 3", "eval.sequences", "launch"),
    (grids("grids: [{seed: 'range(0,10000000)'}]"), "10,000,000"),
    (HEAD + "defaults: [smoke]\n" + NAME + GRIDS, "line 2"),
    (grids("grids: [{seed: [0, -1]}]"), "line 3", "seed=-1"), (grids("grids: [{train.lr: .inf}]"), "line 3", "lr=inf"),
    (grids("params: {layer: [null]}, grids: [{seed: 0}]"), "line 3", "layer=null"),
]  # fmt: skip


def test_sweep_files(own_conf, refused):
    path = own_conf / "sweep" / "mine.yaml"
    for text, *expected in [*((HEAD + text, *rest) for text, *rest in BROKEN), *SWEEPS]:
        write(path, text)
        named = [] if expected[0] in {"seed=1,,(", "10,000,000"} else ["conf/sweep/mine.yaml"]
        refused(["-m", "sweep=mine"], *named, *expected)


def test_files_of_other_groups(own_conf, refused):
    for text, *expected in [
        ("a: b: c", "line 1"),
        ("[1]", "a list"),
        ("# @package hydra.run\ndir: x", "@package hydra.run"),
    ]:
        write(own_conf / "train" / "mine.yaml", text)
        refused(["train=mine"], "conf/train/mine.yaml", *expected)


def test_files_as_they_should_be(own_conf, monkeypatch):
    """Settings, anchors, other defaults, and a grid's own syntax are taken as they are."""
    write(own_conf / "local" / "default.yaml", HEAD + "defaults: [override /site: attn_z]\nseed: 7\n")
    code, said = forked("--cfg", "job", "train.lr=0.5")
    assert code == 0 and "name: attn_z" in said and "seed: 7" in said and "lr: 0.5" in said, said
    text = grids("params: &p {seed: 'range(0,2)'}, grids: [{<<: *p, architecture: 'glob(g*)'}, {layer: [1]}]")
    write(own_conf / "sweep" / "mine.yaml", text)
    monkeypatch.setattr(plan, "matmul_rate", lambda *_: 1e11)  # a fork has none of its parent's OpenMP threads
    code, said = forked("sparsity_coefficient=3", "plan=true", "sweep=mine", "-m")
    assert code == 0 and "6 runs to train" in said, said  # gated and gated_unfrozen, and the default at layer 1
    assert not list(Path().iterdir())
