"""What a user adds from a working directory of their own: one file each and at most one yaml, nothing in the package.

The package is installed, and a worker process trains.
"""

import csv
import json
import re
from pathlib import Path

import pytest

from pipeline.storage.places import BASE
from pipeline.storage.reading import whole_object
from tests.installed import TRAINING, command

pytestmark = pytest.mark.slow

ARCHITECTURE = """
from dataclasses import dataclass

import torch

from pipeline.sae.base import SAE, Losses, PerFeature, squared_error
from pipeline.sae.registry import register


@dataclass(frozen=True)
class TanhConfig:
    name: str = "tanh_penalty"
    expansion: float = 2.0
    steepness: float = 4.0


@register("tanh_penalty", TanhConfig)
class TanhPenaltySAE(SAE):
    feature_parameters = (PerFeature("b_enc"),)

    def encode(self, x):
        return torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)

    def training_losses(self, x, at):
        f = self.encode(x)
        penalty = torch.tanh(self.config.steepness * f).sum() / len(f)
        return Losses(squared_error(x, self.decode(f)), penalty, x.new_zeros(()), f.detach())
"""
SOURCE = """
from pathlib import Path


def documents(data):
    for path in sorted(Path("texts").glob("*.txt")):
        yield path.read_text().replace("the", "The")
"""
METRIC, FIGURE = re.findall(r'```python\n(""".*?)```', (BASE / "docs/how_to/extend.md").read_text(), re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, tiny_model: Path, tiny_text: Path) -> Path:
    """A user's working directory, with a language model and texts in it."""
    (tmp_path / "my_model").symlink_to(tiny_model)
    (tmp_path / "texts").symlink_to(tiny_text)
    write(tmp_path / "conf/model/mine.yaml", "name: mine\npath: my_model\ncontext: 32\nlayer: 1\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(installed: Path, here: Path, *more: str) -> dict[str, dict]:
    """Train on the user's model in a worker process and draw; metrics.json of each run, and the row of runs.csv."""
    settings = [word for word in TRAINING if not word.startswith(("model", "data", "layer"))]
    given = ["model=mine", "site=mlp_out", "sweep_name=own", "hydra/launcher=local", "hydra.launcher.slots=1"]
    text = [] if any(word.startswith("data=") for word in more) else ["data=files", "data.path=texts"]
    done = command(installed, here, "sae-run", "-m", *settings, *given, *text, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((here / "sweeps/own/tasks.json").read_text())["tasks"][-1]["executor"] == "local"
    drawn = command(installed, here, "sae-plot", "replicates=0")
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    rows = list(csv.DictReader((here / "results/own/runs.csv").open()))
    assert rows and all(row["status"] == "done" for row in rows)
    return {row["run"]: row for row in rows}


def test_a_language_model_and_a_figure(installed: Path, here: Path) -> None:
    write(here / "figures/figure_fvu.py", FIGURE)
    (row,) = run(installed, here, "architecture=gated").values()
    assert row["model"].startswith("mine@") and row["d_in"] == "32"
    assert (here / "results/own/figure_fvu.png").is_file()
    (point,) = csv.DictReader((here / "results/own/figure_fvu.csv").open())
    assert point["fvu"] == row["fvu"]


def test_an_architecture(installed: Path, here: Path) -> None:
    write(here / "architectures/tanh_penalty.py", ARCHITECTURE)
    write(here / "conf/architecture/tanh_penalty.yaml", "name: tanh_penalty\nexpansion: 3\n")
    rows = run(installed, here, "architecture=tanh_penalty,gated", "sparsity_coefficient=0.1,0.2").values()
    assert [row["architecture"] for row in rows].count("tanh_penalty") == 2
    assert {row["d_sae"] for row in rows if row["architecture"] == "tanh_penalty"} == {"96"}


def test_a_source_of_text(installed: Path, here: Path) -> None:
    write(here / "my_text.py", SOURCE)
    write(here / "conf/data/my_text.yaml", "name: my_text\nsource: python\npath: my_text.py\n")
    (row,) = run(installed, here, "architecture=gated", "data=my_text").values()
    assert row["data.name"] == "my_text" and int(row["text_documents"]) == 40


def test_a_metric_which_evaluates_again_and_trains_nothing(installed: Path, here: Path) -> None:
    (before,) = run(installed, here, "architecture=gated").values()
    write(here / "metrics/metric_busiest.py", METRIC)
    (row,) = run(installed, here, "architecture=gated").values()
    assert row["run"] == before["run"] and row["l0"] == before["l0"] and "busiest" not in before
    assert 0 < float(row["busiest"]) <= 1
    attempts = whole_object(here / "sweeps/runs" / row["run"] / "execution.json")["attempts"]
    assert len([attempt for attempt in attempts if attempt.get("training_seconds")]) == 1


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("architectures/a.py", "x = 1 / 0\n", "architectures/a.py, line 1: ZeroDivisionError: division by zero"),
        ("architectures/a.py", "def f(:\n", "architectures/a.py, line 1: invalid syntax"),
        ("my_text.py", "texts = []\n", "my_text.py has no function documents: expected documents(data)"),
        ("my_text.py", "def documents(data):\n    yield 3\n", "my_text.py: documents yields int: expected str"),
    ],
)
def test_a_mistake_is_one_line(installed: Path, here: Path, file: str, text: str, said: str) -> None:
    write(here / file, text)
    data = ["data=files", "data.path=texts"]
    if file == "my_text.py":
        write(here / "conf/data/my_text.yaml", "name: my_text\nsource: python\npath: my_text.py\n")
        data = ["data=my_text"]
    done = command(installed, here, "sae-run", "model=mine", "site=mlp_out", *data, "eval.sequences=16")
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
