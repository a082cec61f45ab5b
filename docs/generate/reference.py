"""Write docs/reference/ from the code: `python -m docs.generate.reference`. tests/test_docs.py holds it up to date."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
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
from pipeline.config.meanings import SETTINGS
from pipeline.config.schema import Job, RunConfig
from pipeline.records.columns import MEANINGS, guide
from pipeline.records.table_columns import FIGURE, HIT, TABLES, meaning_in
from pipeline.sae import SAE, load_sae
from pipeline.sae.registry import config_class, registered
from pipeline.storage.places import BASE
from pipeline.training.trainer import HISTORY_COLUMNS

FOLDER = BASE / "docs" / "reference"
PUBLISHED = BASE / "results" / "reference" / "gated_vs_baseline"
DOORS = {"plot_pareto": plot_pareto, "status": status, "doctor": doctor, "prefetch": prefetch, "clean": clean}
SHOWN = {
    "frontier.csv": "The non-dominated points, means over seeds: the columns of runs.csv, and these.",
    "frontiers.csv": "Extent and hypervolume of each frontier.",
    "verdicts.csv": "Which arm is better, and the paper's claims, site by site.",
    "l0_ratio.csv": "L0 of the reference divided by L0 of the candidate at equal loss recovered.",
    "l0_ratio_curve.csv": "That ratio along loss recovered, with a simultaneous band.",
    "saved.csv": "Cross-entropy that a candidate saves at equal L0.",
    "ce_at_l0.csv": "Cross-entropy added at L0 of 10, 20, 50 and 100.",
    "robustness.csv": "The ratio with other choices of method.",
    "pruning.csv": "`l0_ratio.csv` again, with small activations set to zero.",
}
"""Tables of the published sweep, by file."""
FIGURES = ("figure_1", "figure_6", "figure_density", "figure_diagnostics", "figure_l0_ratio", "figure_pruning",
           "figure_training")  # fmt: skip
GENERATED = "\n\nThis page is generated from the code: `python -m docs.generate.reference`.\n\n"


def cell(text: object) -> str:
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;").strip()


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"


def leaves(schema: type, key: str) -> Iterator[tuple[str, "Field[Any]"]]:
    """Every field below a dataclass, with its full key."""
    hints = dict(settings_of(schema, key))
    for field in fields(schema):
        path = f"{key}.{field.name}" if key else field.name
        inner = parts(hints[f"{key}.{field.name}"])[0]
        if is_dataclass(inner):
            assert isinstance(inner, type)
            yield from leaves(inner, path)
        else:
            yield path, field


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
    return [
        [f"`{path}`", accepted(accepts[path]), default(field), SETTINGS[path]] for path, field in leaves(schema, key)
    ]


def settings_page() -> str:
    heads = ("key", "accepts", "default", "meaning and unit")
    parts_of_page = [
        "# Settings" + GENERATED + "The files of `conf/` may set other defaults than the ones here: "
        "`python pipeline/run.py --help` shows the composed configuration. Steps are training steps. Fractions lie "
        "between 0 and 1. Activations are counted one per token.\n"
    ]
    tops = top_level()
    defaults = {field.name: field for kind in (RunConfig, Job) for field in fields(kind)}
    plain = [key for key, hint in tops.items() if not is_dataclass(parts(hint)[0]) and key != "architecture"]
    rows = [[f"`{k}`", accepted(tops[k]), default(defaults[k]), SETTINGS[k]] for k in plain]
    parts_of_page.append("## Top level\n\n" + table(heads, rows))
    for key, hint in tops.items():
        if is_dataclass(parts(hint)[0]):
            parts_of_page.append(section(key, parts(hint)[0], heads))
    for name in registered():
        rows = setting_rows(config_class(name), "architecture")
        parts_of_page.append(f"## architecture={name}\n\n" + table(heads, rows))
    for name, options in LAUNCHERS.items():
        parts_of_page.append(f"## hydra.launcher ({name})\n\n" + table(heads, setting_rows(options, "hydra.launcher")))
    return "\n".join(parts_of_page)


def section(key: str, schema: type, heads: Sequence[str]) -> str:
    return f"## {key}\n\n{(schema.__doc__ or '').splitlines()[0]}\n\n" + table(heads, setting_rows(schema, key))


def columns_page() -> str:
    rows = [[f"`{row['column']}`", row["heading"], row["meaning"]] for row in guide(MEANINGS)]
    pieces = ["# Columns" + GENERATED + "## runs.csv\n\nOne row per declared run. `columns.csv`, next to each "
              "`runs.csv`, has the same guide. Further columns are versions of packages, ends of intervals (`_low`, "
              "`_high`) and settings of an architecture of your own.\n\n"
              + table(("column", "in tables for people", "meaning"), rows)]  # fmt: skip
    for name, shown in SHOWN.items():
        names = list(pd.read_csv(PUBLISHED / name, nrows=0))
        if name == "frontier.csv":
            names = [column for column in names if column in TABLES[name]]
        pieces.append(f"## {name}\n\n{shown}\n\n" + listed(name, names))
    pieces.append("## compute_hit.csv\n\nThe compute-efficiency hit of each finished run, with `family=TABLE`.\n\n"
                  + listed("compute_hit.csv", HIT))  # fmt: skip
    pieces.append("## documents.csv\n\nThe held-out documents that intervals resample.\n\n"
                  + listed("documents.csv", TABLES["documents.csv"]))  # fmt: skip
    pieces.append("## history.csv\n\nA run's losses during training, in its folder.\n\n"
                  + listed("history.csv", HISTORY_COLUMNS))  # fmt: skip
    columns = dict.fromkeys(column for name in FIGURES for column in pd.read_csv(PUBLISHED / f"{name}.csv", nrows=0))
    own = [name for name in columns if name in FIGURE]
    pieces.append("## figure_*.csv\n\nThe data of each figure. Columns that the tables above have mean the same, and "
                  "`l0` in `figure_training.csv` is that of `history.csv`.\n\n"
                  + listed("figure_l0_ratio.csv", [*own, "above_gated"]))  # fmt: skip
    return "\n".join(pieces)


def listed(name: str, columns: Iterable[str]) -> str:
    return table(("column", "meaning"), [[f"`{column}`", meaning_in(name, column)] for column in columns])


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
        said = inspect.getdoc(thing) or "Activations of the features; zero where a feature does not fire."
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
