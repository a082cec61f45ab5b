"""`pip install .`, and its commands from a folder that has nothing in it but a user's own."""

from pathlib import Path

import pytest

from pipeline.storage.places import BASE
from tests.installed import TRAINING, command

pytestmark = pytest.mark.slow

SWEEP = "# @package _global_\nsweep_name: mine\nhydra: {sweeper: {grids: [{site: mlp_out, architecture: gated}]}}\n"


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
    assert done.stderr == "standard output cannot be written (No space left on device): work continues without it\n"
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
