"""A whole 16-run grid end to end, by us and by the peers: `python -m benchmarks.grid [quick=true] [peers=SAELens]`.

The same model folder, contexts, widths, batch and threads; 8 gated and 8 baseline SAEs at one site. Each tool is a
process of its own, timed from its start to its end, and ours runs between the others. Ours is the command line, which
reads and tokenises the text itself; the peers are given the contexts that ours reads, tokenised. Everyone's SAEs are
then evaluated by one neutral evaluation on the same held-out contexts (benchmarks/grid_judge.py).
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.runtime import environment  # noqa: F401  before torch

# isort: split
from benchmarks import grid_judge, machine
from benchmarks.bars import add_figures
from benchmarks.composed import compose
from benchmarks.grid_work import TOKENS, Result, Work
from benchmarks.options import Options
from benchmarks.process import timed
from benchmarks.table import Spread, Table
from pipeline.activations.blocks import StreamShape, calibration_size, harvest
from pipeline.cli.options import command
from pipeline.errors import UserError
from pipeline.language_model.loading import load_language_model
from pipeline.runtime.device import available_cores
from pipeline.storage.files import write_safetensors
from pipeline.storage.places import BASE
from pipeline.tokens.sources import calibration_contexts, evaluation_contexts, training_contexts

PEERS = BASE / ".venv-peers" / "bin" / "python"
OURS, SAELENS, DICTIONARY_LEARNING = grid_judge.TOOLS
SCRIPTS = {SAELENS: "benchmarks.grid_saelens", DICTIONARY_LEARNING: "benchmarks.grid_dictionary_learning"}
LAMBDAS = {
    "gated": [1.0, 1.35, 1.8, 2.4, 3.3, 4.5, 6.0, 8.7],
    "baseline": [0.95, 1.25, 1.65, 2.2, 2.9, 3.9, 5.1, 6.8],
}
ARCHITECTURES = {"gated": "gated_unfrozen", "baseline": "baseline"}
"""Ours by arm. SAELens' gated auxiliary loss teaches the decoder, so ours does here; dictionary_learning's does not."""
LEARNING_RATES = {OURS: 4e-3, SAELENS: 2e-3, DICTIONARY_LEARNING: 8e-3}
"""Each tool's best of those tried, for SAEs in the middle of both arms (benchmarks/grid_rates.py), with which its whole
grid trains: at 1.6e-2 dictionary_learning's middle is 1 % better, and three of its gated SAEs diverge."""
DATA_DIRECTIONS = 0.5
"""Ours: at large lambdas random features die before they have learned anything; lambda is warmed up against it too."""
BUSY = 0.2
"""Cores above which somebody else's work is on the machine before anything of ours began."""


def work(options: Options, rates: dict[str, float]) -> Work:
    """The long form trains on 20 times as many tokens as it evaluates on."""
    steps, held_out, block = (60, 16, 16384) if options.quick else (1000, 192, 65536)
    lambdas = {arm: values[::4] for arm, values in LAMBDAS.items()} if options.quick else LAMBDAS
    return Work(
        model=str(BASE / "pipeline" / "bundled" / "model"), module="gpt_neox.layers.2.mlp", layer=2, d_in=256,
        architectures=ARCHITECTURES, widths={"gated": 1024, "baseline": 1536}, lambdas=lambdas, batch=1024, steps=steps,
        warmup=steps // 20, decay=steps // 4, context=256, lm_batch=16, held_out=held_out, block=block,
        calibration=block // 2, mean_norm_over_rms=1.0, threads=options.threads, learning_rates=rates,
    )  # fmt: skip


def overrides(work: Work) -> list[str]:
    """Our settings of everything but architecture and lambda, as on the command line."""
    return [
        "model=bundled", "data=bundled", "site=mlp_out", f"layer={work.layer}", f"seed={work.seed}",
        f"train.steps={work.steps}", f"train.batch={work.batch}", f"train.lr={work.learning_rates[OURS]}",
        f"train.lr_warmup={work.warmup}", f"train.lr_decay={work.decay}", f"train.block={work.block}",
        f"train.lm_batch={work.lm_batch}", f"train.calibration={work.calibration}", f"eval.sequences={work.held_out}",
        f"eval.batch={work.lm_batch}", "execution.device=cpu",
    ]  # fmt: skip


def best(work: Work) -> list[str]:
    """What we set beyond `overrides`, and the peers have not."""
    return [f"train.sparsity_warmup={work.warmup}", f"train.data_directions={DATA_DIRECTIONS}"]


def prepare(work: Work, folder: Path) -> Work:
    """Write the contexts that everyone trains and is judged on; returns the work with what they say of the site."""
    import torch

    run = compose(overrides(work))
    read = StreamShape.of(run.train, work.context).contexts_read(work.steps)
    # dictionary_learning takes its scale from 101 batches, SAELens from the calibration's number, before they train.
    more = (101 * work.batch + work.block) // (work.context - 1)
    contexts = training_contexts(run.model, run.data, run.seed).read(0, read + more)
    held_out = evaluation_contexts(run.model, run.data, work.held_out)
    write_safetensors(folder / TOKENS, {"training": contexts.tokens, "held_out": held_out.tokens})
    sample = calibration_contexts(run.model, run.data, calibration_size(run.train, work.context))
    model = load_language_model(run.model, torch.device("cpu"))
    norms = harvest(model, sample, [run.hook_name], work.lm_batch)[run.hook_name].double().norm(dim=1)
    done = replace(work, mean_norm_over_rms=(norms.mean() / norms.square().mean().sqrt()).item())
    done.write(folder)
    return done


def run_ours(work: Work, folder: Path, more: Sequence[str] = ()) -> tuple[float, Result]:
    """The command line, into a folder of its own; all cores are shared out between processes as it sees fit."""
    grids = ",".join(
        f"{{architecture:{architecture},architecture.expansion:{work.widths[arm] / work.d_in:g},"
        f"sparsity_coefficient:{work.lambdas[arm]}}}"
        for arm, architecture in work.architectures.items()
    ).replace(" ", "")
    threads = [] if work.threads == available_cores() else [f"execution.threads={work.threads}"]
    command = [
        sys.executable, "pipeline/run.py", "-m", *overrides(work), *threads, *more, "sweep_name=benchmark",
        f"execution.sweeps_dir={folder / 'sweeps'}", f"hydra.sweeper.grids=[{grids}]",
    ]  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    took = timed(command, folder / "log.txt")
    return took, our_result(work, folder, more)


def our_result(work: Work, folder: Path, more: Sequence[str]) -> Result:
    """Phases and memory from the records: of packs that ran side by side, the mean of seconds and the sum of memory."""
    facts: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / "sweeps" / "runs").glob("*/execution.json")):
        facts[path.parent.name] = json.loads(path.read_text())["attempts"][-1]
    packs = list({tuple(fact["pack"]): fact for fact in facts.values()}.values())
    by_arm = dict.fromkeys(work.widths, 0.0)
    for name, fact in facts.items():
        arm = next(arm for arm, architecture in work.architectures.items() if f"-{architecture}-" in name)
        by_arm[arm] += fact["training_seconds"] / len(packs)
    seconds = {k: sum(p["pack_seconds"][k] for p in packs) / len(packs) for k in packs[0]["pack_seconds"]}
    steps = {f"steps, {arm}": value for arm, value in by_arm.items()}
    phases = {
        "load": seconds["load"], "language model": seconds["activations"], **steps,
        "stream and loop": seconds["training"] - sum(by_arm.values()), "evaluation": seconds["evaluation"],
    }  # fmt: skip
    settings = {
        "architectures": list(work.architectures.values()), "learning rate": work.learning_rates[OURS],
        "adam betas": [0.0, 0.999], "precision": "float32", "processes": len(packs),
        "further": list(more),
    }  # fmt: skip
    return Result(OURS, {}, settings, phases, by_arm, sum(p["peak_memory_bytes"] for p in packs))


def run_peer(tool: str, folder: Path) -> tuple[float, Result]:
    folder.mkdir(exist_ok=True)
    peers = os.environ.get("PEERS_PYTHON", str(PEERS))
    offline = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "TQDM_DISABLE": "1"}
    return timed([peers, "-m", SCRIPTS[tool], str(folder)], folder / "log.txt", offline), Result.read(folder)


PHASES = ("load", "language model", "steps, gated", "steps, baseline", "stream and loop", "evaluation", "rest")


def run(options: Options, rates: dict[str, float], folder: Path, peers: Sequence[str]) -> dict[str, float]:
    """Run everyone, ours between the others, and print the tables; returns the figures of the bars."""
    given = prepare(work(options, rates), folder)
    ratio = given.training_tokens / given.held_out_tokens
    names = list(given.runs())
    print(
        f"{len(names)} SAEs at {given.module}, batch {given.batch}, {given.steps} steps: {given.training_tokens:,} "
        f"training tokens, {ratio:.1f} times the {given.held_out_tokens:,} held-out ones, {given.threads} threads",
        flush=True,
    )  # fmt: skip
    rate = machine.MatmulRate()
    took: dict[str, list[float]] = {}
    results: dict[str, Result] = {}
    rates_seen = [rate.best()]
    for number, tool in enumerate([OURS, *(name for peer in peers for name in (peer, OURS))]):
        print(f"{tool} ...", end=" ", flush=True)
        ran = run_ours(given, folder / OURS, best(given)) if tool == OURS else run_peer(tool, folder / tool)
        took.setdefault(tool, []).append(ran[0])
        results[tool] = ran[1]
        rates_seen.append(rate.best())
        print(f"{ran[0]:.1f} s; fp32 matmul at {rates_seen[-1] / 1e9:.0f} GFLOP/s after run {number + 1}", flush=True)
    _show_times(options, given, took, results)
    judged = grid_judge.judge(given, folder, compose(overrides(given)), (OURS, *peers))
    judged.show(options.out)
    figures = grid_judge.ratios(judged, options)
    if SAELENS in took:
        figures["grid_saelens"] = Spread.of(took[SAELENS]).median / Spread.of(took[OURS]).median
    return figures


def _show_times(options: Options, work: Work, took: dict[str, list[float]], results: dict[str, Result]) -> None:
    ours = took[OURS]
    formats = {"tool": "{}", "seconds": "{:.1f}", "low": "{:.1f}", "high": "{:.1f}", "over_ours": "{:.2f}",
               "over_low": "{:.2f}", "over_high": "{:.2f}", **dict.fromkeys(PHASES, "{:.1f}"),
               "lm_tokens_per_s": "{:.0f}", "sae_tokens_per_s": "{:.0f}", "peak_gb": "{:.2f}"}  # fmt: skip
    title = "the grid, end to end: wall-clock seconds of each tool's process, and of its phases (last run)"
    table = Table("grid", title, formats)
    runs = len(list(work.runs()))
    for tool, times in took.items():
        found, spread, phases = results[tool], Spread.of(times), dict(results[tool].phases)
        phases["rest"] = times[-1] - sum(phases.values())
        steps = sum(found.by_arm.values())
        table.add(
            tool=tool, seconds=spread.median, low=min(times), high=max(times),
            over_ours=spread.median / Spread.of(ours).median, over_low=min(times) / max(ours),
            over_high=max(times) / min(ours),
            **{name: phases.get(name, 0.0) for name in PHASES}, peak_gb=found.peak_memory / 1e9,
            lm_tokens_per_s=work.training_tokens / phases["language model"],
            sae_tokens_per_s=runs * work.training_tokens / steps,
        )  # fmt: skip
    table.show(options.out)
    arms = Table(
        "grid_arms",
        "training steps by arm: ms a step, one SAE",
        {"tool": "{}", "arm": "{}", "ms": "{:.2f}", "over_ours": "{:.2f}"},
    )
    for tool, found in results.items():
        for arm, seconds in found.by_arm.items():
            each = 1e3 / (work.steps * len(work.lambdas[arm]))
            arms.add(tool=tool, arm=arm, ms=seconds * each, over_ours=seconds / results[OURS].by_arm[arm])
    arms.show(options.out)
    settings = Table("grid_settings", "each tool's versions and settings", {"tool": "{}", "settings": "{}"})
    for tool, found in results.items():
        settings.add(tool=tool, settings=json.dumps(found.versions | found.settings))
    settings.show(options.out)


def main(options: Options, peers: Sequence[str]) -> None:
    busy = machine.cores_busy()
    print(f"grid on {machine.words()}; {busy:.1f} cores busy before it began", flush=True)
    if busy > BUSY:
        print("  somebody else's work is on this machine: these times are not for publishing")
    with tempfile.TemporaryDirectory(prefix="bench-grid-") as folder:
        figures = run(options, LEARNING_RATES, Path(folder), peers)
    add_figures(options.out, figures)


def start(arguments: Sequence[str]) -> int:
    """Raises: UserError, for an argument that is unknown."""
    chosen = [word for word in arguments if word.startswith("peers=")]
    options = Options.parse([word for word in arguments if word not in chosen])
    peers = chosen[-1].removeprefix("peers=").split(",") if chosen else list(SCRIPTS)
    if unknown := [peer for peer in peers if peer not in SCRIPTS]:
        raise UserError(f"peers={unknown[0]} is unknown; accepted: {', '.join(SCRIPTS)}")
    main(options, peers)
    return 0


if __name__ == "__main__":
    sys.exit(command(start, __doc__ or "", sys.argv[1:]))
