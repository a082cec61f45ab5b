"""Settings that cannot be meant, as users type them: one line that names the key, nothing written, nothing loaded."""

import sys

import pytest

from tests.test_command_line import SMALL

LONG = "a" * 1000
ONE = [
    ("train.beta1=1", "train.beta1=1"),
    ("train.beta2=nan", "train.beta2=nan"),
    ("execution.checkpoint_seconds=-1", "execution.checkpoint_seconds=-1"),
    ("train.encoder_norm=inf", "train.encoder_norm=inf"),
    ("train.epsilon=-1", "train.epsilon=-1"),
    ("train.steps=100000000000000000000", "train.steps=100000000000000000000"),
    ("architecture.expansion=nan", "architecture.expansion=nan"),
    ("sparsity_coefficient=inf", "sparsity_coefficient=inf"),
    ("data.evaluation_fraction=1", "data.evaluation_fraction=1"),
    ("execution.history_every=-1", "execution.history_every=-1"),
    ("execution.threads=0", "execution.threads=0"),
    ("model.name=''", "model.name=''"),
    (f"model.name={LONG}", "model.name="),
    ("model.name=../../../evil", "model.name=../../../evil"),
    ("site.name='[/x]'", "site.name=[/x]"),
    ("train.sparsity_warmup=-5", "train.sparsity_warmup=-5"),
    ("train.lr_decay=1000", "train.lr_decay=1000"),
    ("plan=maybe", "plan=maybe"),
    ("plan=[1]", "plan=[1]"),
    ("plan=2", "plan=2"),
    ("+foo=1", "foo"),
    ("+train.stepz=1", "train.stepz"),
    ("++train=5", "train=5"),
    ("++data=null", "data=null"),
    ("hydra.launcher.poll_seconds=nan", "hydra.launcher.poll_seconds=nan"),
    ("hydra.launcher.slots=0", "hydra.launcher.slots=0"),
    ("train.resample.steps=[500]", "train.resample.steps=[500]"),
    ("train.resample.lr_factor=nan", "train.resample.lr_factor=nan"),
    ("seed=99999999999999999999999", "seed=99999999999999999999999"),
    ("seed=-1", "seed=-1"),
    ("sweep_name=..", "sweep_name=.."),
    ("sweep_name=../../x", "sweep_name=../../x"),
    ("sweep_name=/tmp/x", "sweep_name=/tmp/x"),
    ("sweep_name=runs/../../y", "sweep_name=runs/../../y"),
    ("sweep_name=Shared", "sweep_name=Shared"),
    (f"sweep_name={LONG}", "sweep_name="),
    ("execution.sweeps_dir=", "execution.sweeps_dir=''"),
    ("execution.sweeps_dir=/etc/hostname", "/etc/hostname"),
    ("execution.sweeps_dir=/proc/x", "/proc/x"),
    (f"execution.sweeps_dir=/tmp/{LONG}", "execution.sweeps_dir="),
    ("tracker=wandb", "pip install wandb"),
    ("site.hook='{layer.__class__}'", "site.hook={layer.__class__}"),
]


def said_of(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Exit code and stderr of the command, in this process, which has imported what takes a command seconds."""
    from hydra.core.global_hydra import GlobalHydra

    from pipeline.run import main

    sys.argv = ["pipeline/run.py", *words]
    GlobalHydra.instance().clear()
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    return code, capfd.readouterr().err


@pytest.mark.parametrize(("word", "named"), ONE)
def test_one(word, named, tiny_model, tiny_text, tmp_path, capfd):
    words = [
        "model=local",
        f"model.path={tiny_model}",
        "model.context=32",
        "data=files",
        f"data.path={tiny_text}",
        f"execution.sweeps_dir={tmp_path}/sweeps",
        *SMALL,
    ]
    key = word.split("=")[0].lstrip("+")
    words = [w for w in words if not w.startswith(f"{key}=")]
    code, said = said_of([*words, word], capfd)
    print(code, said)
    assert code == 2 and len(said.splitlines()) == 1 and named in said, said
    assert not list(tmp_path.iterdir())
