"""Checks of a machine, as a table; of this one or of a node."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.diagnosis.check_result import Case, CheckResult, judge
from pipeline.diagnosis.machine import MachineFacts
from pipeline.runtime.c_compiler import MISSING
from pipeline.storage.places import door

CHECKS: Mapping[str, Sequence[Case[MachineFacts]]] = {
    "cores": (
        Case("ok", "{f.cores} cores, {f.memory_gb:.0f} GB of memory", lambda f: f.cores > 1),
        Case(
            "warn",
            "1 core, {f.memory_gb:.0f} GB of memory: on a processor training is slow; ask for "
            "hydra.launcher.cpus_per_task=8",
        ),
    ),
    "disk": (
        Case(
            "problem", "no run can be written ({f.disk_reason}): give execution.sweeps_dir=FOLDER",
            lambda f: bool(f.disk_reason),
        ),
        Case(
            "problem", "{f.free_gb:.1f} GB of disk are free: " + door("clean") + " shows what could go",
            lambda f: f.free_gb < 1,
        ),
        Case(
            "warn", "{f.free_gb:.1f} GB of disk are free: plan=true says what a sweep needs", lambda f: f.free_gb < 10
        ),
        Case("ok", "the sweeps' folder can be written, {f.free_gb:.0f} GB are free"),
    ),
    "gpu": (
        Case(
            "problem", "PyTorch sees {f.torch_gpus} GPU, but there is " + MISSING,
            lambda f: bool(f.torch_gpus) and not f.c_compiler,
        ),
        Case("ok", "PyTorch sees {f.torch_gpus} GPU", lambda f: bool(f.torch_gpus)),
        Case(
            "problem",
            "Slurm gave GPU {f.visible_gpus}, but PyTorch sees none: everything would train on processors; check "
            "nvidia-smi on the node, and that PyTorch was installed for its CUDA version",
            lambda f: bool(f.visible_gpus) and f.torch_gpus == 0,
        ),
        Case(
            "problem", "{f.gpus} GPU here, but PyTorch sees none: install PyTorch for its CUDA version",
            lambda f: f.gpus > 0 and f.torch_gpus == 0,
        ),
        Case("ok", "{f.gpus} GPU", lambda f: f.gpus > 0),
        Case("ok", "no GPU: training runs on processors"),
    ),
    "hub": (  # either the hub or, without it, what prefetching brought to the cache
        Case(
            "ok", "the Hugging Face hub can be reached; a token is there", lambda f: f.reaches_hub and f.token
        ),
        Case(
            "warn",
            "the Hugging Face hub can be reached; no token: gated models (Gemma) are refused; set HF_TOKEN",
            lambda f: f.reaches_hub,
        ),
        Case(
            "warn",
            "{f.why_no_hub}, and the cache {f.hub_cache} is empty: only the bundled and local models work; on a "
            "machine with the hub: " + door("prefetch") + ", with the overrides of your sweep and HF_HOME on a shared "
            "disk",
            lambda f: not f.cached_models,
        ),
        Case("ok", "{f.why_no_hub}; {f.cached_models} models in {f.hub_cache}", lambda f: f.offline),
        Case(
            "warn",
            "{f.why_no_hub}; {f.cached_models} models in {f.hub_cache}: set HF_HUB_OFFLINE=1, else every load tries "
            "the hub first",
        ),
    ),
    "bundled": (
        Case(
            "problem", "the bundled model cannot be read ({f.bundled_reason}): install again",
            lambda f: bool(f.bundled_reason),
        ),
        Case("ok", "the bundled model can be read"),
    ),
}  # fmt: skip


def results(facts: MachineFacts) -> Iterator[CheckResult]:
    """Of every check, with the machine's name."""
    for check in CHECKS.values():
        found = judge(check, facts)
        yield CheckResult(found.level, f"{facts.host}: {found.text}")
