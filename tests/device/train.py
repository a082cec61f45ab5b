"""Trains packs on the pretend device, as a GPU would be used: `python -m tests.device.train MODEL TEXT FOLDER`.

Leaves FOLDER/whole, FOLDER/interrupted (resumed), FOLDER/sparse and FOLDER/bfloat16.
"""

import os
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"

from pipeline.activations import prefetch
from pipeline.config.schema import EvalConfig, Execution, RunConfig
from pipeline.errors import Interrupted
from pipeline.monitoring.progress import Progress
from pipeline.pack import Pack
from pipeline.sae.architectures.baseline import BaselineConfig
from pipeline.sae.architectures.gated import GatedConfig
from pipeline.sae.architectures.gated_unfrozen import GatedUnfrozenConfig
from pipeline.sae.sparse_step.selection import ALWAYS, sparse_below
from tests.device.pretend import NAME, register
from tests.pack.test_pack import TRAIN, StopAfter, make_run, sixteen


def few(model: Path, text: Path) -> list[RunConfig]:
    """Triton's interpreter takes a second for each of their steps."""
    train = replace(TRAIN, steps=3, lr=1e-3, block=60)
    architectures = GatedConfig(expansion=2), BaselineConfig(expansion=2)
    short = EvalConfig(sequences=4, batch=4)
    return [make_run(model, text, architecture=each, train=train, eval=short) for each in architectures]


def rounded(model: Path, text: Path) -> list[RunConfig]:
    train = replace(TRAIN, steps=20, precision="bfloat16")
    architectures = GatedConfig(expansion=2), BaselineConfig(expansion=2), GatedUnfrozenConfig(expansion=2)
    return [make_run(model, text, architecture=each, train=train) for each in architectures]


def train(runs: list[RunConfig], folder: Path, device: str, stop: threading.Event | None = None) -> None:
    execution = Execution(
        device=device, threads=1, history_every=1, checkpoint_seconds=0.0, sweeps_dir=str(folder)
    )  # fmt: skip
    with Progress(runs) as progress, suppress(Interrupted):
        Pack(runs, execution, progress, stop or threading.Event()).execute()


def main(model: Path, text: Path, folder: Path) -> None:
    register(folder)
    prepared: list[str] = []
    compute = prefetch.PrefetchedBlocks._compute_in_stream

    def noted(*arguments: object) -> object:
        prepared.append(threading.current_thread().name)
        return compute(*arguments)  # type: ignore[arg-type]

    prefetch.PrefetchedBlocks._compute_in_stream = noted  # type: ignore[method-assign, assignment]
    runs = sixteen(model, text)
    train(runs, folder / "whole", NAME)
    train(runs, folder / "interrupted", NAME, StopAfter(150))
    train(runs, folder / "interrupted", NAME)
    train(rounded(model, text), folder / "bfloat16", NAME)
    with sparse_below(ALWAYS):
        train(few(model, text), folder / "sparse", NAME)
    assert set(prepared) == {"prefetch-block"} and len(prepared) > 3, "blocks are made beside the steps"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
