"""The package as `pip install .` leaves it, and its commands in a folder of a user's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.storage.places import BASE

TRAINING = [
    "layer=1", "model=local", "model.context=32", "data=files", "train.steps=20", "train.batch=32", "train.block=600",
    "train.lm_batch=4", "train.calibration=300", "train.lr_warmup=5", "eval.sequences=8", "eval.batch=4",
]  # fmt: skip


def install(folder: Path) -> None:
    """The package, and its commands in bin/; its sources are gone."""
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


def command(
    installed: Path, working: Path, *line: str, output: Any = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """The command as it ended. To compile loops, as every new installation does, would take most of the time."""
    environment = os.environ | {"PYTHONPATH": str(installed), "NUMBA_DISABLE_JIT": "1"}
    typed = [installed / "bin" / line[0], *line[1:]]
    return subprocess.run(
        typed, cwd=working, env=environment, text=True, timeout=300, stdout=output, stderr=subprocess.PIPE
    )
