"""Write docs/reference/ from the code: `python -m docs.generate.reference`. tests/test_docs.py holds it up to date."""

import ast
import inspect
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import MISSING

from pipeline import clean, doctor, plot_pareto, prefetch, status
from pipeline.cli.settings_help import settings_of
from pipeline.cli.validate import top_level
from pipeline.config.checked import accepted, parts
from pipeline.config.launcher import LAUNCHERS
from pipeline.config.schema import Job, RunConfig
from pipeline.records.columns import MEANINGS, guide, meaning
from pipeline.sae import SAE, load_sae
from pipeline.sae.registry import config_class, registered
from pipeline.storage.places import BASE
from pipeline.training.trainer import HISTORY_COLUMNS

FOLDER = BASE / "docs" / "reference"
PUBLISHED = BASE / "results" / "reference" / "gated_vs_baseline"
DOORS = {"plot_pareto": plot_pareto, "status": status, "doctor": doctor, "prefetch": prefetch, "clean": clean}
SAID = {
    "layer": "layer of the site, from 0; the model's own choice unless given",
    "sparsity_coefficient": MEANINGS["sparsity_coefficient"],
    "seed": MEANINGS["seed"],
    "sweep_name": "name of the sweep that declares the runs",
    "plan": "print runs, packs, memory, disk and time, and train nothing",
    "extend": "add the runs to those that the sweep has, rather than refuse",
    "model.path": "folder of a local model",
    "site.name": MEANINGS["site"],
    "architecture.name": MEANINGS["architecture"],
    "execution.sweeps_dir": "folder that runs and sweeps are written to; sweeps/ unless given",
    "execution.retry_failed": "try runs again that have a failure.json",
    "tracker.name": "what follows each run's history",
    "tracker.project": "name of the project there",
    "hydra.launcher.partition": "Slurm's partition; null: the cluster's default",
    "hydra.launcher.account": "Slurm's account",
    "hydra.launcher.qos": "Slurm's quality of service",
    "hydra.launcher.constraint": "features that a node must have",
    "hydra.launcher.nodelist": "nodes to use",
    "hydra.launcher.exclude": "nodes not to use",
    "hydra.launcher.gpus_per_node": "GPUs of a task",
    "hydra.launcher.cpus_per_task": "cores of a task",
    "hydra.launcher.timeout_min": "time limit of a task, minutes",
    "hydra.launcher.srun_args": "options of srun",
}
"""Keys whose meaning is neither in a comment nor in the guide to the columns."""
TABLES = {
    "frontier.csv": "the non-dominated points, means over seeds",
    "frontiers.csv": "extent and hypervolume of each frontier",
    "verdicts.csv": "which arm is better, and the paper's claims, site by site",
    "l0_ratio.csv": "L0 of the reference over L0 of the candidate at equal loss recovered",
    "l0_ratio_curve.csv": "that ratio along loss recovered, with a simultaneous band",
    "saved.csv": "cross-entropy that a candidate saves at equal L0",
    "ce_at_l0.csv": "cross-entropy added at L0 of 10, 20, 50 and 100",
    "robustness.csv": "the ratio with other choices",
    "pruning.csv": "the same without small activations",
}
GENERATED = "\n\nThis page is generated from the code: `python -m docs.generate.reference`.\n\n"


def cell(text: object) -> str:
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;").strip()


def words(path: str, comment: str = "") -> str:
    """What a key means: by hand, or the guide to the columns, then the comment at its field."""
    return SAID.get(path) or "; ".join(filter(None, (MEANINGS.get(path), comment))) or meaning(path)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"


def comments(schema: type) -> dict[str, str]:
    """The comment of each field of a dataclass: at the end of its line, else on the lines above it."""
    source = inspect.getsource(schema)
    lines = source.splitlines()
    at: dict[int, tuple[int, str]] = {}
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT and not token.string.startswith("# fmt"):
            at[token.start[0]] = (token.start[1], token.string.lstrip("# "))
    found = {}
    (body,) = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above = node.lineno - 1
            alone = above in at and not lines[above - 1][: at[above][0]].strip()
            comment = at.get(node.end_lineno or 0) or (at[above] if alone else None)
            if comment:
                found[node.target.id] = comment[1]
    return found


def owners(schema: type, key: str) -> Iterator[tuple[str, type, "Field[Any]"]]:
    """Every field below a dataclass: its full key and where it stands."""
    hints = dict(settings_of(schema, key))
    for field in fields(schema):
        path = f"{key}.{field.name}" if key else field.name
        inner = parts(hints[f"{key}.{field.name}"])[0]
        if is_dataclass(inner):
            assert isinstance(inner, type)
            yield from owners(inner, path)
        else:
            yield path, schema, field


def default(field: "Field[Any]") -> str:
    if field.default_factory is not NO_DEFAULT:
        value = field.default_factory()
    elif field.default is NO_DEFAULT or field.default == MISSING:
        return "set in `conf/`"
    else:
        value = field.default
    return f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"


def setting_rows(schema: type, key: str) -> list[list[str]]:
    accepts = dict(settings_of(schema, key))
    said: Mapping[type, dict[str, str]] = {owner: comments(owner) for _, owner, _ in owners(schema, key)}
    return [
        [f"`{path}`", accepted(accepts[path]), default(field), words(path, said[owner].get(field.name, ""))]
        for path, owner, field in owners(schema, key)
    ]


def settings_page() -> str:
    heads = ("key", "accepts", "default", "meaning and unit")
    parts_of_page = [
        "# Settings" + GENERATED + "The files of `conf/` may set another default than the one here: "
        "`python pipeline/run.py --help` shows the composed one. Steps are training steps, fractions lie between 0 and "
        "1, and activations are counted one per token.\n"
    ]
    tops = top_level()
    defaults = {field.name: field for kind in (RunConfig, Job) for field in fields(kind)}
    plain = [key for key, hint in tops.items() if not is_dataclass(parts(hint)[0]) and key != "architecture"]
    rows = [[f"`{k}`", accepted(tops[k]), default(defaults[k]), words(k)] for k in plain]
    parts_of_page.append("## Top level\n\n" + table(heads, rows))
    for key, hint in tops.items():
        if is_dataclass(parts(hint)[0]):
            parts_of_page.append(section(key, parts(hint)[0], heads))
    for name in registered():
        rows = setting_rows(config_class(name), "architecture")
        parts_of_page.append(f"## architecture={name}\n\n" + table(heads, rows))
    for name, options in LAUNCHERS.items():
        parts_of_page.append(f"## hydra.launcher ({name})\n\n" + table(heads, launcher_rows(options)))
    return "\n".join(parts_of_page)


def section(key: str, schema: type, heads: Sequence[str]) -> str:
    return f"## {key}\n\n{(schema.__doc__ or '').splitlines()[0]}\n\n" + table(heads, setting_rows(schema, key))


def launcher_rows(options: type) -> list[list[str]]:
    inherited = {name: comment for kind in reversed(options.__mro__[:-1]) for name, comment in comments(kind).items()}
    accepts = dict(settings_of(options, "hydra.launcher"))
    return [
        [f"`{path}`", accepted(accepts[path]), default(field), words(path, inherited.get(field.name, ""))]
        for path, _, field in owners(options, "hydra.launcher")
    ]


def columns_page() -> str:
    rows = [[f"`{row['column']}`", row["heading"], row["meaning"]] for row in guide(MEANINGS)]
    pieces = ["# Columns" + GENERATED + "## runs.csv\n\n`columns.csv` next to each `runs.csv` has the same guide. "
              "Versions of packages, interval ends (`_low`, `_high`) and settings of an architecture of your own come "
              "on top.\n\n" + table(("column", "in tables for people", "meaning"), rows)]  # fmt: skip
    for name, shown in TABLES.items():
        names = list(pd.read_csv(PUBLISHED / name, nrows=0))
        pieces.append(f"## {name}\n\n{shown[0].upper()}{shown[1:]}.\n\n" + listed(names))
    pieces.append("## history.csv\n\nA run's losses while it trains, in its folder.\n\n" + listed(HISTORY_COLUMNS))
    return "\n".join(pieces)


def listed(names: Sequence[str]) -> str:
    """Columns of another table, with their meanings where runs.csv has them too."""
    return table(("column", "meaning"), [[f"`{name}`", meaning(name)] for name in names])


def commands_page() -> str:
    pieces = [
        "# Commands" + GENERATED + "Installed without a checkout, they are `sae-run`, `sae-plot`, `sae-status`, "
        "`sae-doctor`, `sae-prefetch` and `sae-clean`.\n\n## run\n\n```\nusage: python pipeline/run.py [-m] "
        "[KEY=VALUE ...]\n```\n\nTrains one run, or with `-m` a grid of them. [Settings](settings.md) lists every key. "
        "[Train a grid](../how_to/train.md) has examples.\n"
    ]
    for name, door in DOORS.items():
        pieces.append(f"## {name}\n\n```\n{door.USAGE.replace(f'{BASE}/', '')}\n```\n")
    return "\n".join(pieces)


def python_page() -> str:
    pieces = ["# Python" + GENERATED + "```python\nfrom pipeline.sae import load_sae\n```\n"]
    for name, thing in (("load_sae", load_sae), ("SAE.encode", SAE.encode), ("SAE.decode", SAE.decode)):
        shown = next(line for line in inspect.getsource(thing).splitlines() if line.lstrip().startswith("def "))
        said = inspect.getdoc(thing) or "Features of activations; zero where a feature does not fire."
        pieces.append(f"## {name}\n\n```\n{shown.strip().rstrip(':')}\n```\n\n```\n{said}\n```\n")
    return "\n".join(pieces)


def pages() -> dict[str, str]:
    """By file name."""
    made = {"settings": settings_page, "columns": columns_page, "commands": commands_page, "python": python_page}
    return {f"{name}.md": write() for name, write in made.items()}


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
