"""`pip install .`, and its commands from a folder that has nothing in it but a user's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.places import BASE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]  # one worker installs for all of them

TRAINING = [
    "layer=1", "model=local", "model.context=32", "data=files", "train.steps=20", "train.batch=32", "train.block=600",
    "train.lm_batch=4", "train.calibration=300", "train.lr_warmup=5", "eval.sequences=8", "eval.batch=4",
]  # fmt: skip
SWEEP = "# @package _global_\nsweep_name: mine\nhydra: {sweeper: {grids: [{site: mlp_out, architecture: gated}]}}\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed package and of its commands, in bin/; its sources are gone."""
    folder = tmp_path_factory.mktemp("installed")
    sources = folder / "sources"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("pipeline", "conf"):
        shutil.copytree(BASE / name, sources / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE", "docs/gated_paper_tables.csv"):
        (sources / name).parent.mkdir(exist_ok=True)
        shutil.copy(BASE / name, sources / name)
    (sources / "conf" / "local").mkdir(exist_ok=True)
    (sources / "conf" / "local" / "default.yaml").write_text("# @package _global_\nseed: 3\n")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *offline, "-t", folder, sources], check=True)
    shutil.rmtree(sources)
    return folder


def command(
    installed: Path, working: Path, *line: str, output: Any = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """The command as it ended. To compile loops, as every new installation does, would take most of the time."""
    environment = os.environ | {"PYTHONPATH": str(installed), "NUMBA_DISABLE_JIT": "1"}
    typed = [installed / "bin" / line[0], *line[1:]]
    return subprocess.run(
        typed, cwd=working, env=environment, text=True, timeout=300, stdout=output, stderr=subprocess.PIPE
    )


def test_the_package_has_what_a_checkout_has(installed: Path) -> None:
    def below(folder: Path) -> set[str]:
        files = (path for path in folder.rglob("*.*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)) for path in files}

    conf = {f"conf/{name}" for name in below(BASE / "conf") if not name.startswith("local/")}
    assert len(conf) > 30
    assert below(installed / "pipeline") == below(BASE / "pipeline") - {"conf/local/default.yaml"} | conf


def test_a_sweep_of_ones_own_in_an_empty_folder(
    installed: Path, tiny_model: Path, tiny_text: Path, tmp_path: Path
) -> None:
    """With a package of our name in the working directory, and without standard output."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("raise ImportError('another package')\n")
    (tmp_path / "conf" / "sweep").mkdir(parents=True)
    (tmp_path / "conf" / "sweep" / "mine.yaml").write_text(SWEEP)
    training = [*TRAINING, f"model.path={tiny_model}", f"data.path={tiny_text}"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = command(installed, tmp_path, "sae-run", "-m", "sweep=mine", *training, output=full)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "standard output cannot be written (No space left on device): the work goes on without it\n"
    assert {path.name for path in tmp_path.iterdir()} == {"pipeline", "conf", "sweeps"}
    status = command(installed, tmp_path, "sae-status", "sweep=mine")
    assert status.stdout == "mine: 1 runs: 1 done\n", status.stderr
    drawn = command(installed, tmp_path, "sae-plot", "replicates=0")
    assert drawn.stdout.startswith(f"results go to {tmp_path / 'results'}\nmine: 1 runs: 1 done\n"), drawn.stderr
    assert (tmp_path / "results" / "mine" / "figure_diagnostics.png").is_file()
    assert "sae-run -m sweep=mine" in (tmp_path / "results" / "mine" / "report.html").read_text()


def test_a_name_that_the_package_has_already_is_refused(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "conf" / "sweep").mkdir(parents=True)
    (tmp_path / "conf" / "sweep" / "smoke.yaml").write_text(SWEEP)
    done = command(installed, tmp_path, "sae-run", "-m", "sweep=smoke", "plan=true")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"{tmp_path}/conf/sweep/smoke.yaml has the same name" in done.stderr
