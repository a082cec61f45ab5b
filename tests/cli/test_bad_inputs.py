"""Settings that cannot be meant, as users type them: one line that names the key, nothing written, nothing loaded."""

import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from pipeline import plot_pareto, status
from pipeline.launching import launch
from pipeline.run import main
from tests.test_command_line import SMALL

LONG = "a" * 1000
NUMBERS = (
    "train.beta1=1", "train.beta2=nan", "train.encoder_norm=inf", "train.epsilon=-1", "train.lr=nan",
    "train.sparsity_warmup=-5", "train.lr_warmup=-5", "train.lr_decay=1000", "train.steps=100000000000000000000",
    "architecture.expansion=inf", "architecture.expansion=nan", "sparsity_coefficient=inf",
    "data.evaluation_fraction=0", "data.evaluation_fraction=1", "data.evaluation_fraction=nan", "seed=-1",
    "seed=99999999999999999999999", "execution.checkpoint_seconds=-1", "execution.history_every=-1",
    "execution.threads=0", "hydra.launcher.poll_seconds=-1", "hydra.launcher.poll_seconds=nan",
    "hydra.launcher.slots=0", "hydra.launcher.runs_per_pack=0", "train.resample.steps=[500]",
)  # fmt: skip
"""A line names the key and the value as they are here."""
CASES = [
    *((word, word) for word in NUMBERS),
    ("train.resample.steps=[-5]", "train.resample.steps[0]=-5"),
    ("train.resample.inputs=0 train.resample.steps=[10]", "train.resample.inputs=0"),
    ("train.resample.inputs=301 train.resample.steps=[10]", "train.resample.inputs=301"),
    ("train.resample.lr_factor=nan train.resample.steps=[10]", "train.resample.lr_factor=nan"),
    ("model.name=''", "model.name=''"),
    (f"model.name={LONG}", "model.name=aaaa"),
    (f"model.name={LONG[:100]} site.name={LONG[:100]}", f"model.name={LONG[:100]}, site.name={LONG[:100]}"),
    ("model.name=../../../evil", "model.name=../../../evil"),
    ("model.name=/FOLDER/x", "model.name=/FOLDER/x"),
    ("site.name=../../evil", "site.name=../../evil"),
    ("site.name='[/x]'", "site.name=[/x]"),
    ("sweep_name=..", "sweep_name=.."),
    ("sweep_name=../../x", "sweep_name=../../x"),
    ("sweep_name=/FOLDER/x", "sweep_name=/FOLDER/x"),
    ("sweep_name=runs/../../y", "sweep_name=runs/../../y"),
    ("sweep_name=runs", "sweep_name=runs is reserved"),
    (f"sweep_name={LONG}", "sweep_name=aaaa"),
    ("execution.sweeps_dir=", "execution.sweeps_dir=''"),
    ("execution.sweeps_dir=''", "execution.sweeps_dir=''"),
    ("execution.sweeps_dir=/etc/hostname", "/etc/hostname is not a folder"),
    ("execution.sweeps_dir=/etc/hostname/x", "/etc/hostname is not a folder"),
    ("execution.sweeps_dir=/proc/x", "execution.sweeps_dir=/proc/x"),
    (f"execution.sweeps_dir=/FOLDER/{LONG}", "execution.sweeps_dir=/tmp"),
    ("site.hook='blocks.{layer.__class__}.hook_mlp_out'", "site.hook=blocks.{layer.__class__}.hook_mlp_out"),
    ("plan=maybe", "plan=maybe is unknown; accepted: true or false"),
    ("plan=[1]", "plan=[1] is unknown"),
    ("plan=2", "plan=2 is unknown"),
    ("+foo=1", "foo is not a setting"),
    ("+train.stepz=1", "train.stepz is not a setting; did you mean steps?"),
    ("execution.threads=1.5", "execution.threads=1.5 is not a whole number"),
    ("tracker=wandb", "pip install wandb"),
    ("-m hydra/launcher=slurm_cpu hydra.launcher.array_parallelism=0", "hydra.launcher.array_parallelism=0"),
    ("-m hydra/launcher=slurm_cpu hydra.launcher.cpus_per_task=0", "hydra.launcher.cpus_per_task=0"),
    ("-m hydra/launcher=slurm_cpu hydra.launcher.timeout_min=-1", "hydra.launcher.timeout_min=-1"),
    ("-m hydra/launcher=slurm_cpu hydra.launcher.partition='a\nb'", r"hydra.launcher.partition='a\nb'"),
    ("-m hydra.launcher.slots=1.5", "hydra.launcher.slots=1.5 is not a whole number"),
    ("-m hydra.launcher.slots=0", "hydra.launcher.slots=0"),
    ("-m seed=0,1 sweep_name=..", "sweep_name=.."),
]


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(*_):
        raise AssertionError("the launch went on")

    monkeypatch.setattr(launch, "choose_executor", choose)
    monkeypatch.setitem(sys.modules, "wandb", None)  # as where it is not installed


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_is_loaded")
def test_one_line_before_anything_is_written_or_loaded(tiny_model, tiny_text, tmp_path, capfd, monkeypatch):
    """All in this process: a command of its own takes seconds to start."""
    folder = tmp_path / "sweeps" / "here"
    folder.parent.mkdir()
    good = [
        "model=local", f"model.path={tiny_model}", "model.context=32", "data=files", f"data.path={tiny_text}",
        f"execution.sweeps_dir={folder}", *SMALL,
    ]  # fmt: skip
    for line, named in CASES:
        words = line.replace("/FOLDER", str(tmp_path)).split(" ")
        given = {word.split("=")[0] for word in words}
        monkeypatch.setattr(sys, "argv", ["run.py", *words, *(w for w in good if w.split("=")[0] not in given)])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        assert end.value.code == 2 and not said.out, (line, said)
        assert said.err.startswith("error: ") and said.err.count("\n") == 1, (line, said.err)
        assert named.replace("/FOLDER", str(tmp_path)) in said.err, (line, said.err)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["sweeps"]


def test_names_that_the_small_commands_join_to_a_path(tmp_path, capsys):
    """A sweep is one on disk, and a table gives its results its own name: both within their folders."""
    sweep = tmp_path / "sweeps" / "smoke"
    sweep.mkdir(parents=True)
    (sweep / "manifest.json").write_text("{}")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "manifest.json").write_text("{}")
    (tmp_path / "...csv").write_text("arch,model,site,layer,lam,l0,loss_recovered\n")
    before = sorted(tmp_path.rglob("*"))
    places = [f"sweeps_dir={tmp_path}/sweeps"]
    results = [*places, f"results_dir={tmp_path}/results"]
    for name in ("../x", f"{tmp_path}/x", "..", ".", "runs", "smoke/"):
        assert status.main([*places, f"sweep={name}"]) == plot_pareto.main([*results, f"sweep={name}"]) == 2
        assert [line[: len(name) + 13] for line in capsys.readouterr().err.splitlines()] == [f"error: sweep={name}"] * 2
    assert plot_pareto.main([*results, f"source={tmp_path}/...csv"]) == 2
    assert "another name" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
